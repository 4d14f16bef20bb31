"""Preconditioners: changes of variables in which the Hessian of the objective is close to the identity."""

from skmax._preconditioner.choose import choose_preconditioner

__all__ = ["choose_preconditioner"]
