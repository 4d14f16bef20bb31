"""The axes of a plot."""

from typing import Any, TypeAlias

import numpy as np

Axes: TypeAlias = Any  # a matplotlib.axes.Axes: Matplotlib is optional, and imported where a plot is drawn


def axes_for(ax: Any, n_axes: int = 1, *, across: bool = False, **options: Any) -> list[Axes]:
    """The given axes, or those of a new figure: one below the other or, with `across`, side by side."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('The plots of skmax require Matplotlib: pip install "skmax[plot]".') from error
    if ax is None:
        width, height = plt.rcParams["figure.figsize"]
        options.setdefault("figsize", (width, height if across else height * (n_axes + 1) / 2))
        shape = (1, n_axes) if across else (n_axes, 1)
        _, ax = plt.subplots(*shape, sharex=not across, sharey=across, layout="constrained", **options)
    axes = list(np.atleast_1d(ax).ravel())
    if len(axes) != n_axes:
        raise ValueError(f"ax must hold {n_axes} axes for this plot; got {len(axes)}.")
    return axes
