"""What several test files build."""

import pytest

from skmax._arrays import Device
from skmax._objective import Objective
from skmax._problem import Problem
from skmax._samples import samples_of
from skmax._target import encode_target


def objective_of(X, target, weight=None, *, n_classes, n_logits, weight_decay, fit_intercept):
    """The objective of an X in memory."""
    classes = {"n_classes": n_classes, "n_logits": n_logits}
    return Objective(samples_of(X, target, weight, fit_intercept=fit_intercept, **classes)).penalised(weight_decay)


def problem_of(X, y, pool=None):
    """The problem of labels in memory."""
    target = encode_target(y, classes=None, class_weight=None, sample_weight=None)
    return Problem.of(target.samples(X, fit_intercept=True, pool=pool), target.encoding)


def allow_arrays(monkeypatch, check):
    """Let scikit-learn's checks of arrays of other libraries run: it asks for a variable of the environment.

    PyTorch may be there with support of CUDA, but without a device, on which these checks would fail.
    """
    if "array_api" not in getattr(check, "func", check).__name__:
        return
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    if "cuda" in str(check.keywords):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


def strict_device(name):
    """A device of array-api-strict, which has one without float64 since version 2.6."""
    strict = pytest.importorskip("array_api_strict")
    try:
        return Device(strict, strict.Device(name))
    except ValueError:
        pytest.skip("a device that this version of array-api-strict does not have")


def torch_device(torch):
    """The first GPU that PyTorch finds, or else the CPU, which then stands for a device."""
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
