"""The cost of the Hessian in operations and in memory, and that of an evaluation of the objective."""

from skmax._objective import Objective

# The most numbers that a form of the Hessian may hold, 67 MB, with as many again in its factors.
MOST_NUMBERS = 2**23


def whole_hessian_fits(objective: Objective) -> bool:
    """Whether the whole Hessian fits into the memory allowed, as it does with up to 2048 parameters."""
    return whole_hessian_numbers(objective) <= MOST_NUMBERS


def whole_hessian_numbers(objective: Objective) -> int:
    """The number of elements of the whole Hessian, and as many again for building it."""
    return 2 * (objective.n_columns * objective.n_logits) ** 2


def evaluation_cost(objective: Objective) -> int:
    """The operations of an evaluation, two for each multiplication: for the rows, SciPy's vectors and the calls."""
    size = objective.n_columns * objective.n_logits
    return 2 * objective.samples.n_samples * objective.cost + 120 * size + 3_000_000
