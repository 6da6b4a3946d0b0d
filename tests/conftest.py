import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from sklearn.datasets import load_digits

# Machines are shared: time proves nothing. CI draws the same examples each time, other runs look further.
settings.register_profile("skae", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("skae")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data():
    """Load a data set of the project's by name; skip where the data is not at hand."""
    folder = Path(os.environ.get("SKAE_DATA", ROOT.parent / "shared" / "data"))

    def load(name):
        path = folder / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"needs {path}: set SKAE_DATA to the folder that holds {name}.npz")
        return np.load(path, allow_pickle=False)

    return load


@pytest.fixture(scope="session")
def digits():
    """Scikit-learn's digits in [0, 1], float32; not to be written to."""
    X = (load_digits().data / 16).astype(np.float32)
    X.flags.writeable = False
    return X


@pytest.fixture
def plane():
    """Rows of five features on a noisy plane."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 2)) @ rng.normal(size=(2, 5)) + 0.01 * rng.normal(size=(200, 5))
