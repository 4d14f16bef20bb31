"""The order of the gallery: beginners first, then by what one wants to do. And the size of its figures."""

import matplotlib.pyplot as plt

# In inches: letters of ten points can then be read on a screen of 390 pixels.
SMALL_FIGURE = 5, 3.8

STORIES = [
    # first steps
    "quickstart",
    "logistic_regression",
    "no_scaling",
    "column_transformer",
    "mixed_columns",
    "text",
    # the model
    "softmax_step_by_step",
    "two_classes",
    "unique_answer",
    "digit_weights",
    # choosing and judging a model
    "weight_decay",
    "grid_search",
    "calibration",
    "matrix_scaling",
    "linear_probe",
    "hierarchical_softmax",
    # other data and other uses
    "soft_targets",
    "new_site",
    "none_of_these",
    "wrong_labels",
    "bandit",
    "dask",
]


class StoryOrder:
    """Sorts the files of the examples as `STORIES` does; others come last, by name."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, filename):
        story = str(filename).removeprefix("plot_").removesuffix(".py")
        return (STORIES.index(story) if story in STORIES else len(STORIES), story)

    def __repr__(self):
        return "StoryOrder"  # the same in each build, for Sphinx to see that nothing changed


def small_figures(gallery_conf, file):
    """Called before each example: the size of the figures whose size the example leaves to Matplotlib."""
    plt.rcParams["figure.figsize"] = SMALL_FIGURE
