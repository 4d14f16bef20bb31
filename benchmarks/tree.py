"""A softmax of two levels against the flat one: the classes and functions of examples/plot_hierarchical_softmax.py.

Results: processor seconds of a fit on two thirds of the rows, one thread of an Intel Xeon with AVX-512 that other work
shared; log loss and accuracy on the other third.

                             flat                    two levels
    omniglot_small1, 136     7.2 s   4.296   0.300    5 groups   3.6 s   6.584   0.271
                                                     10 groups   4.8 s   6.800   0.246
    palm100, 100             2.7 s   0.007   0.997    5 groups   1.3 s   0.128   0.982
                                                     10 groups   1.2 s   0.021   0.994
    clinc150 as LSA, 150     4.6 s   0.790   0.892    5 groups   4.3 s   0.783   0.891
                                                     12 groups   3.6 s   0.799   0.891
    made:1000:32:9           6.9 s   0.725   0.909   30 groups   0.9 s   0.638   0.903

Conclusion: on a hundred classes, the tree saves up to half of the time; on a thousand, most of it. Where classes have
13 rows each (omniglot, palm100), its log loss is worse: a group has few rows to tell its classes apart, and a row that
the root sends to the wrong group is lost.

Usage: python -m benchmarks.tree FILE ... [--groups NUMBER ...]

A FILE is an .npz with X and y, or made:CLASSES:COLUMNS:ROWS, the made set of the story with so many rows of each class.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from skmax import SoftmaxRegression

STORY = Path(__file__).parent.parent / "examples" / "plot_hierarchical_softmax.py"


def definitions():
    """The names that the story defines before it begins to fit."""
    names = {}
    exec(STORY.read_text().split("\nrows = ")[0], names)
    return names


def load(source, make_rows):
    if source.startswith("made:"):
        return make_rows(*map(int, source.split(":")[1:]))
    with np.load(source, allow_pickle=False) as archive:
        return archive["X"].astype(np.float32), np.unique(archive["y"], return_inverse=True)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", metavar="FILE")
    parser.add_argument("--groups", type=int, nargs="+", default=[5, 10])
    arguments = parser.parse_args()
    story = definitions()
    time.perf_counter = time.process_time  # which other work on the machine hardly changes
    for source in arguments.sources:
        X, y = load(source, story["make_rows"])
        print(f"{Path(source).stem}  {X.shape[0]} x {X.shape[1]} x {y.max() + 1}", flush=True)
        story["judge"]("flat", SoftmaxRegression(), X, y)
        for n_groups in arguments.groups:
            story["judge"](f"{n_groups} groups", story["TwoLevels"](n_groups), X, y)


if __name__ == "__main__":
    main()
