"""Fits of two processes that train together; `test_distributed.py` starts them and compares what they save."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_digits
from test_base import EveryEpoch

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    DenoisingAutoEncoder,
    StackedAutoEncoder,
    VariationalAutoEncoder,
)
from skae.callbacks import Checkpoint
from skae.distributed import data_parallel

X, y = load_digits(return_X_y=True)
X = (X[:1000] / 16).astype(np.float32)
y = y[:1000]
TABLE = pd.DataFrame(
    {"x": X[:, 20], "y": X[:, 21], "kind": np.array(["a", "b", "c", "d"])[(X[:, 28] * 3.9).astype(int)]}
)
TABLE.loc[::7, "x"] = np.nan
QUICK = {"hidden_layer_sizes": (16,), "max_iter": 3, "batch_size": 64, "random_state": 0}
ALL_ROWS = {**QUICK, "batch_size": len(X)}

# equal to those of one process: losses without noise, on the same batches
SAME = {
    "plain": lambda X: AutoEncoderTransformer(8, **QUICK).fit(X),
    "early stopping": lambda X: AutoEncoderTransformer(8, early_stopping=True, **QUICK).fit(X),
    "tied weights": lambda X: StackedAutoEncoder(8, pretrain_max_iter=2, **QUICK).fit(X),
    "a row in a batch": lambda X: AutoEncoderTransformer(8, **QUICK | {"batch_size": 1, "max_iter": 1}).fit(X[:101]),
    "huber": lambda X: AutoEncoderTransformer(8, loss="huber", **QUICK).fit(X),
}
SHARDS = {
    "all rows in a batch": lambda X: AutoEncoderTransformer(8, **ALL_ROWS).fit(X),
    "a detector": lambda X: AutoEncoderOutlierDetector(AutoEncoderTransformer(8, **ALL_ROWS), novelty=True).fit(X),
}
# the same in all processes
AGREE = {
    "variational": lambda X: VariationalAutoEncoder(4, **QUICK | {"random_state": None}).fit(X),
    "adversarial": lambda X: AdversarialAutoEncoder(4, **QUICK).fit(X),
    "denoising, early stopping": lambda X: DenoisingAutoEncoder(4, early_stopping=True, **QUICK).fit(X),
    "a bag": lambda X: AutoEncoderOutlierDetector(
        DenoisingAutoEncoder(4, **QUICK), n_estimators=3, error="whitened"
    ).fit(X),
    "the default detector": lambda X: AutoEncoderOutlierDetector(n_estimators=8).fit(X[:, :6]),
    "held out": lambda X: AutoEncoderOutlierDetector(DenoisingAutoEncoder(4, **QUICK), calibration_fraction=0.2).fit(X),
}


def result(estimator):
    """Return the numbers of a fit: scores, weights, the threshold."""
    model = getattr(estimator, "autoencoder_", estimator)
    states = [member._network.state_dict() for member in getattr(model, "autoencoders_", [model])]
    weights = np.concatenate([tensor.numpy().ravel() for state in states for tensor in state.values()])
    curve = getattr(model, "loss_curve_", [])
    return np.r_[weights, curve, getattr(estimator, "threshold_", 0.0)]


def fit_interrupted(autoencoder, X, path):
    """Interrupt a fit after 3 epochs and let another one go on from its checkpoint."""

    def interrupt(epoch, _):
        if epoch == 2:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        clone(autoencoder).set_callbacks(Checkpoint(path, every=2), EveryEpoch(interrupt)).fit(X)
    epochs = []
    callbacks = Checkpoint(path, resume=True), EveryEpoch(lambda *_: epochs.append(0))
    fitted = clone(autoencoder).set_callbacks(*callbacks).fit(X)
    assert len(epochs) == autoencoder.max_iter - 3
    return fitted


def main(folder):
    with data_parallel("same", timeout=30) as processes:
        fits = {name: result(fit(X)) for name, fit in SAME.items()}
        fits |= {f"{name}, same": result(fit(X)) for name, fit in AGREE.items()}
    with data_parallel("shards", timeout=30) as processes:
        own, labels, table = (rows[processes.rank :: 2] for rows in (X, y, TABLE))
        fits |= {name: result(fit(own)) for name, fit in (SHARDS | AGREE).items()}
        known = np.where(np.arange(len(labels)) < 50, labels, -1)
        fits["classes"] = result(ConditionalVariationalAutoEncoder(4, **QUICK).fit(own[known != 3], known[known != 3]))
        # each process knows levels of its own
        fits["categories"] = result(
            AutoEncoderTransformer(2, **QUICK).fit(table[table["kind"] != "abcd"[processes.rank]])
        )
        variational = VariationalAutoEncoder(4, early_stopping=True, **QUICK | {"max_iter": 6})
        fits["whole"] = result(clone(variational).fit(own))
        fits["interrupted"] = result(fit_interrupted(variational, own, Path(folder, "variational.skae")))
        fits["more rows here"] = result(AutoEncoderTransformer(4, **QUICK).fit(own[: 100 + 150 * processes.rank]))
        fits["one row here"] = result(AutoEncoderTransformer(4, **QUICK).fit(own if processes.rank else own[:1]))
        Path(folder, f"{processes.rank}.errors").write_text("\n".join(errors(processes.rank, own)))
    np.savez(Path(folder, f"{processes.rank}.npz"), **fits)


def errors(rank, own):
    """Yield what fits raise that only one process could not do, or that differ."""
    bad = np.where(np.arange(len(own))[:, None] == 7 * rank, np.inf, own) if rank else own
    names = [f"x{j}" for j in range(own.shape[1] - 1)] + [f"of process {rank}"]
    for settings, rows in (
        ({}, bad),
        ({}, own[: 300 * rank]),
        ({"early_stopping": True}, own[: 300 * rank + 2]),
        ({"alpha": 1.0 + rank}, own),
        ({}, own[:, rank:]),
        ({}, pd.DataFrame(own, columns=names)),
    ):
        try:
            AutoEncoderTransformer(4, **QUICK | settings).fit(rows)
        except ValueError as error:
            yield str(error).replace("\n", " ")


def train_for_long(folder):
    """Train until one process is killed; say what the other one raises."""
    with data_parallel("shards", timeout=20) as processes:
        autoencoder = AutoEncoderTransformer(8, hidden_layer_sizes=(16,), random_state=0).fit(X)
        Path(folder, f"{processes.rank}.started").touch()
        try:
            autoencoder.set_params(max_iter=10**6).fit(X)
        except ConnectionError as error:
            is_as_before = autoencoder.n_iter_ == 100
            Path(folder, f"{processes.rank}.error").write_text(f"{is_as_before} {error}")
            os.kill(os.getpid(), signal.SIGKILL)  # without waiting for the other process


if __name__ == "__main__":
    {"main": main, "train_for_long": train_for_long}[sys.argv[1]](sys.argv[2])
