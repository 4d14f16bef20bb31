"""The Hessian of the objective: measured by sums over rows, factored, and of all rows where that pays."""
