"""The Hessian of the objective: its measurement by sums over rows, its factors, its cost, and when to compute it."""
