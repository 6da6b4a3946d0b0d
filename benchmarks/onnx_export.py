"""Files of `skae.export_onnx` in onnxruntime beside skae: largest differences, and the latency of one row.

Run: OMP_NUM_THREADS=1 python benchmarks/onnx_export.py. Every estimator of the tests' catalogue, other networks and a
table with categories and holes are fitted on digits in [0, 1]; differences are over 500 rows, by themselves and as a
share of the largest value of an output (at least 1). Latencies are medians of 500 calls, in turns, both sides with one
thread, of what ranks or classifies rows. (It is not called onnx.py, which would hide the package.)
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder, export_onnx
from skae.networks import ConvNetwork, LSTMNetwork, MemoryNetwork

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from catalogue import AUTOENCODERS, CLASSIFIERS, DETECTORS

METHODS = {
    "code": "transform",
    "reconstruction": "reconstruct",
    "score": "score_samples",
    "decision": "decision_function",
    "label": "predict",
    "probabilities": "predict_proba",
}
N_CALLS, N_ROWS = 500, 500
NETWORKS = [
    AutoEncoderTransformer(8, network=network, max_iter=5)
    for network in (ConvNetwork((1, 8, 8), (8, 16)), LSTMNetwork((8, 8), 16), MemoryNetwork())
]


def name_of(estimator):
    """Return the class and what is special of it."""
    text = " ".join(repr(estimator).split())
    return text if len(text) < 75 else text[:72] + "..."


def differences(path, estimator, X, inputs):
    """Return the largest difference, as it is and as a share of the largest value, and the share of equal labels."""
    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    largest, relative, n_equal, n_labels = 0.0, 0.0, 0, 0
    for name, got in zip(names, session.run(None, inputs), strict=True):
        if name.startswith("reconstruction_"):
            wanted = estimator.reconstruct(X)[name.removeprefix("reconstruction_")].to_numpy()
        else:
            wanted = getattr(estimator, METHODS[name])(X)
        if got.dtype == np.float64:
            difference = np.abs(got - wanted).max()
            largest = max(largest, difference)
            relative = max(relative, difference / max(1.0, np.abs(wanted).max()))
        else:
            n_equal, n_labels = n_equal + (got == wanted).sum(), n_labels + got.size
    return largest, relative, n_equal / n_labels if n_labels else np.nan


def latencies(path, estimator, X, inputs):
    """Return the median microseconds of a row of X in onnxruntime and in skae."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    names = {output.name for output in session.get_outputs()}
    output = next(name for name in ("decision", "score", "probabilities") if name in names)
    row, inputs = X[:1], {name: values[:1] for name, values in inputs.items()}
    calls = [lambda: session.run([output], inputs), lambda: getattr(estimator, METHODS[output])(row)]
    times = np.empty((N_CALLS, 2))
    for i in range(N_CALLS):
        for j, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[i, j] = time.perf_counter() - start
    return 1e6 * np.median(times[N_CALLS // 10 :], axis=0)


def report(estimator, X, y, new, inputs, name=None):
    """Print a line of the table; return its largest relative difference."""
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    name = name or name_of(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "estimator.onnx"
        start = time.perf_counter()
        export_onnx(estimator, path)
        seconds = time.perf_counter() - start
        largest, relative, equal = differences(path, estimator, new, inputs)
        there, here = latencies(path, estimator, new, inputs)
        size = path.stat().st_size / 1024
    print(
        f"| {name} | {largest:.1e} | {relative:.1e} | {equal:.3f} | {there:.0f} | {here:.0f} | {here / there:.1f} | "
        f"{seconds:.1f} | {size:.0f} |",
        flush=True,
    )
    return relative


def main():
    """Print the table."""
    X, y = load_digits(return_X_y=True)
    X, y, new = X[:-N_ROWS] / 16, y[:-N_ROWS], X[-N_ROWS:] / 16
    columns = ("estimator", "largest difference", "relative", "labels the same", "onnxruntime, us a row")
    columns += ("skae, us a row", "skae / onnxruntime", "export, s", "file, KB")
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|---|---|")
    worst = [report(e, X, y, new, {"X": new}) for e in [*AUTOENCODERS, *NETWORKS, *CLASSIFIERS, *DETECTORS]]
    columns = [f"x{j}" for j in (10, 20, 28, 36, 43, 50)]
    frame = pd.DataFrame(load_digits().data / 16, columns=[f"x{j}" for j in range(64)])[columns]
    for name in columns[::2]:
        frame[name] = np.where(frame[name] > 0.7, "dark", np.where(frame[name] > 0.2, "grey", "light"))
    frame = frame.mask(np.random.default_rng(0).uniform(size=frame.shape) < 0.1)
    train, new = frame[:-N_ROWS], frame[-N_ROWS:]
    inputs = {name: (c.fillna("") if c.dtype.kind != "f" else c).to_numpy() for name, c in new.items()}
    inputs = {name: c.astype(object) if c.dtype.kind != "f" else c for name, c in inputs.items()}
    for estimator in (DenoisingAutoEncoder(4, max_iter=20), AutoEncoderOutlierDetector()):
        worst.append(report(estimator, train, None, new, inputs, f"{name_of(estimator)} of a table with holes"))
    print(f"\nLargest relative difference over all estimators: {max(worst):.1e}")


if __name__ == "__main__":
    main()
