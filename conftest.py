"""Set-up of every pytest process, for the tests and for the docstrings' examples."""

import os
import sys

os.environ.setdefault("MPLBACKEND", "Agg")  # no windows
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scikit-learn skips its array API check without it

# pytest-xdist runs a worker per core. With a thread pool in each as well, the pools spin against each other:
# measured on 2 cores, the docstrings' examples took 78 s instead of 6 s.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    """Add the option of README and CONTRIBUTING."""
    parser.addoption("--other-processor", action="store_true", help="simulate a processor that rounds differently")


def pytest_configure(config):
    """Simulate the processor in every worker, before torch computes anything."""
    if config.getoption("--other-processor"):
        sys.path.insert(0, str(config.rootpath / "tests"))  # as the tests import it
        from other_processor import simulate

        config.other_processor = simulate()
