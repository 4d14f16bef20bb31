"""How far f is above its minimum: a bound where the whole Hessian is available, an estimate elsewhere."""
