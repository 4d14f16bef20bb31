"""Real data for the tests that want it; they skip where the folder is absent."""

import os
from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ.get("SKMAX_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def load():
    """Loader of `name`.npz: X as float64, and y."""

    def _load(name):
        path = DATA / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"{path} is not here; set SKMAX_DATA to the folder that holds it")
        with np.load(path, allow_pickle=False) as archive:
            content = dict(archive)
        return content.pop("X").astype(np.float64), content.pop("y"), content

    return _load
