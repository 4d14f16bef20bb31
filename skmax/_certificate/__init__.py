"""How far f is above its minimum: a bound where the whole Hessian is available, an estimate elsewhere."""

from skmax._certificate.base import Attempt, Certificate, Function, LinearChange, Point, Steps
from skmax._certificate.certify import certify
from skmax._certificate.infinity import INFINITY, approach_infinity

__all__ = [
    "INFINITY",
    "Attempt",
    "Certificate",
    "Function",
    "LinearChange",
    "Point",
    "Steps",
    "approach_infinity",
    "certify",
]
