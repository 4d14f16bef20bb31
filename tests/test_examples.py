"""Each example runs, and what its text says in numbers is what it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES, reason="runs in the project's folder"),
]


def numbers(output, begin):
    """The numbers in the lines that begin with `begin`."""
    lines = [line[len(begin) :] for line in output.splitlines() if line.startswith(begin)]
    assert lines, f"no line begins with {begin!r}"
    return [[float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", line)] for line in lines]


def column(output, begin, k):
    return [line[k] for line in numbers(output, begin)]


def near(value, claimed, share):
    return abs(value - claimed) <= share * claimed


def quickstart_loss_is_twice(output):
    ours, theirs = column(output, "SoftmaxRegression", 2)[0], column(output, "LogisticRegression", 2)[0]
    return near(theirs, 2 * ours, 0.1)


def quickstart_one_row(output):
    ours, theirs = column(output, "SoftmaxRegression", 1)[0], column(output, "LogisticRegression", 1)[0]
    return round(45 * ours) - round(45 * theirs) == 1


def loss_is_lower_by_a_fifth(output):
    default = numbers(output, "default, 1 / n_samples")[0][1]
    beginnings = ("best of five folds", "strongest within one standard error", "best by approximate leave-one-out")
    return all(numbers(output, begin)[0][2] < 0.8 * default for begin in beginnings)


def default_lbfgs_warns_on_raw_columns_only(output):
    lines = [line for line in output.splitlines() if line.startswith("LogisticRegression() ")]
    return [line.split()[-2:] == ["100", "yes"] for line in lines] == [True, True, True, False]


def newton_cholesky_falls_behind(output):
    ours = column(output, "SoftmaxRegression", -1)
    theirs = column(output, "LogisticRegression, newton-cholesky", -1)
    return theirs[0] < 2 * ours[0] and all(b > 2 * a for a, b in zip(ours[1:], theirs[1:], strict=True))


def parameters_are(output):
    return [int(n) for n in re.findall(r"(\d+) parameters", output)] == [42, 650, 1210]


# The words that stand in the text of an example, and whether they are so by its output.
CLAIMS = {
    "quickstart": {
        "twice that of SoftmaxRegression": quickstart_loss_is_twice,
        "it is one row of 45": quickstart_one_row,
    },
    "logistic_regression": {
        "needs more than its 100 iterations, and warns": default_lbfgs_warns_on_raw_columns_only,
        "on the digits at 5e-4": lambda out: near(column(out, "LogisticRegression(max_iter=100_000)", 1)[2], 5e-4, 0.2),
        "the 5e-5 that it leaves": lambda out: near(column(out, "LogisticRegression() ", 1)[3], 5e-5, 0.2),
    },
    "no_scaling": {
        "falls behind where there are more parameters": newton_cholesky_falls_behind,
        "which are up to 256, and 1210 parameters": parameters_are,
    },
    "text": {
        "next to no decay is best": lambda out: numbers(out, "weight decay ")[0][0] < 1e-6,
        "From the prose of a function's documentation": lambda out: all(
            0 < accuracy <= 1 for accuracy in column(out, "weight decay ", -2)
        ),
    },
    "weight_decay": {"lowers the log loss on new digits by more than a fifth": loss_is_lower_by_a_fifth},
    "linear_probe": {
        "whose best decay is 60 times as weak": lambda out: near(
            numbers(out, "pixels")[0][1] / numbers(out, "embedding")[0][1], 60, 0.1
        ),
    },
    "none_of_these": {
        "Here it is set so that 2 %": lambda out: all(
            near(share, 0.02, 0.15) for share in numbers(out, "known digits 0 to 4")[0]
        )
    },
    "soft_targets": {
        "soft targets win in log loss": lambda out: all(
            gain > 0 for gain in [line[-2] for line in numbers(out, "      ")[1:3]]
        )
    },
    "two_classes": {
        "So that is the model with twice the weight decay": lambda out: (
            numbers(out, "a logit for each class, twice the weight decay")[0][0] < 1e-6
        )
    },
    "unique_answer": {
        "the probabilities stay, the loss stays, the penalty grows": lambda out: (
            numbers(out, "(3, -5) added to each row")[0][-1] < 1e-9
        )
    },
}


@pytest.fixture(scope="module")
def output(request):
    """What an example prints, of each one run."""
    known = {}

    def _output(path):
        if path not in known:
            environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
            run = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment, timeout=600)
            assert run.returncode == 0, run.stderr
            known[path] = run.stdout
        return known[path]

    return _output


def text_of(path):
    """The prose of an example, its docstring and comments, as one line."""
    return " ".join(re.sub(r"^# ?", "", path.read_text(), flags=re.M).split())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem.removeprefix("plot_"))
def test_an_example_runs_and_its_text_is_right(path, output):
    printed = output(path)
    assert printed.strip()
    for words, holds in CLAIMS.get(path.stem.removeprefix("plot_"), {}).items():
        assert words in text_of(path), words
        assert holds(printed), f"{words}\n{printed}"


def test_each_claim_is_of_an_example_that_is_there():
    assert set(CLAIMS) <= {path.stem.removeprefix("plot_") for path in EXAMPLES}


def test_the_readme_shows_what_the_quickstart_prints(output):
    """But for the times, and the last digit of the model that stopped before the minimum."""
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"^```text\n(load_wine.*?)^```", readme, re.M | re.S)[1]
    printed = output(ROOT / "examples" / "plot_quickstart.py")
    for ours, theirs in zip(shown.split(), printed.split(), strict=True):
        if re.fullmatch(r"\d+\.\d", ours):  # a time
            continue
        if re.fullmatch(r"\d\.\d+", ours):
            assert float(ours) == pytest.approx(float(theirs), abs=0.0021), (shown, printed)
        else:
            assert ours == theirs
