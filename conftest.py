"""Set-up of every pytest process, for the tests and for the docstrings' examples."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")  # no windows
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # scikit-learn skips its array API check without it

# pytest-xdist runs a worker per core. With a thread pool in each as well, the pools spin against each other:
# measured on 2 cores, the docstrings' examples took 78 s instead of 6 s.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption("--other-processor", action="store_true", help="simulate a processor that rounds differently")


def pytest_configure(config):
    if config.getoption("--other-processor"):
        from tests.other_processor import simulate

        config.other_processor = simulate()
