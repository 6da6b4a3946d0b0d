"""Checkpoints, and fits that go on from them."""

import copy
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import killed_fit
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import EveryEpoch, quick
from torch import nn

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
    load,
    save,
)
from skae.callbacks import Checkpoint
from skae.model_selection import BatchedGridSearchCV
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork, MemoryNetwork
from skae.persistence import ArtifactError

X, y = load_digits(return_X_y=True)
X, y = (X[:120] / 16).astype(np.float32), y[:120]
TABLE = pd.DataFrame({"x": X[:, 20], "y": X[:, 21], "kind": np.array(["a", "b", "c"])[(X[:, 28] * 2.9).astype(int)]})
TABLE.loc[::7, "x"] = np.nan
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 8, "random_state": 0, "device": "cpu"}


def no_space(*_):
    raise OSError(28, "No space left on device")


def names_in(folder):
    return sorted(file.name for file in folder.iterdir())


def the_file(folder):
    """The path of the only file in a folder."""
    (path,) = folder.iterdir()
    return path


def without_key(name):
    """A file's name with <key> for the eight digits."""
    return re.sub(r"\.[0-9a-f]{8}\.", ".<key>.", name)


def contents(estimator, folder):
    """All that a file of skae's holds of an estimator: parameters, weights, every fitted attribute."""
    save(estimator, folder / "contents")
    return (folder / "contents").read_bytes()


class FailAfter(EveryEpoch):
    """A callback that raises an error when an epoch begins."""

    def __init__(self, n_epochs, error):
        self.n_epochs, self.error = n_epochs, error

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == self.n_epochs:
            raise self.error

    def on_fit_task_end(self, estimator, context):
        pass


class Count(EveryEpoch):
    """A callback that counts the epochs of all fits within a fit."""

    max_propagation_depth = None

    def __init__(self):
        super().__init__(self.count)
        self.n = 0

    def count(self, *_):
        self.n += 1


class Copy(Count):
    """A callback that copies a folder after so many epochs, as a kill would leave it."""

    def __init__(self, folder, n_epochs, to):
        super().__init__()
        self.folder, self.n_epochs, self.to = folder, n_epochs, to

    def count(self, *_):
        super().count()
        if self.n == self.n_epochs:
            shutil.copytree(self.folder, self.to)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new folder"


@pytest.fixture
def path(folder):
    return folder / "plane.skae"


@pytest.fixture
def full_disk(monkeypatch):
    """Call it to let the writing of files fail from then on."""
    return lambda: monkeypatch.setattr("skae.persistence.container.os.fsync", no_space)


# ---- a fit goes on -------------------------------------------------------------------------------------------


class Batches:
    """A stream of rows."""

    def __iter__(self):
        yield from np.array_split(X, 5)


def own_network(n_features, n_components):
    encoder = nn.Sequential(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, n_components))
    return encoder, nn.Sequential(nn.Linear(n_components, 8), nn.Dropout(0.2), nn.Linear(8, n_features))


def fitting(autoencoder, X=X, y=None):
    """Return a function that fits a clone with callbacks."""
    return lambda *callbacks: clone(autoencoder).set_callbacks(*callbacks).fit(X, y)


def fitting_again(autoencoder):
    def fit(*callbacks):
        fitted = clone(autoencoder).fit(X[:80])
        return fitted.set_callbacks(*callbacks).fit(X)

    return fit


def image_of(parameters):
    return {name: value for name, value in parameters.items() if name != "hidden_layer_sizes"}


FITS = {
    "plain": fitting(AutoEncoderTransformer(4, **SMALL)),
    "decay, no shuffling": fitting(AutoEncoderTransformer(4, alpha=0.1, shuffle=False, **SMALL)),
    "dropout, batch norm": fitting(
        AutoEncoderTransformer(4, network=DenseNetwork((8,), dropout=0.2, normalization="batch"), **SMALL)
    ),
    "convolutional": fitting(AutoEncoderTransformer(4, network=ConvNetwork((1, 8, 8), channels=(2,)), **SMALL)),
    "lstm": fitting(AutoEncoderTransformer(4, network=LSTMNetwork((8, 8), hidden_size=4), **SMALL)),
    "own network": fitting(AutoEncoderTransformer(4, network=own_network, **SMALL)),
    "memory": fitting(DenoisingAutoEncoder(4, network=MemoryNetwork(), **SMALL)),
    "denoising": fitting(DenoisingAutoEncoder(4, corruption="swap", **SMALL)),
    "denoising, clean rows given": fitting(DenoisingAutoEncoder(4, **SMALL), X + 0.1, X),
    "sparse": fitting(SparseAutoEncoder(4, sparsity="kl", **SMALL)),
    "contractive": fitting(ContractiveAutoEncoder(4, method="stochastic", **SMALL)),
    "variational": fitting(VariationalAutoEncoder(4, **SMALL)),
    "conditional": fitting(ConditionalVariationalAutoEncoder(4, **SMALL), X, np.where(y < 8, y, -1)),
    "adversarial": fitting(AdversarialAutoEncoder(4, discriminator_layer_sizes=(8,), **SMALL)),
    "stacked": fitting(StackedAutoEncoder(4, pretrain_max_iter=2, **SMALL)),
    "classifier": fitting(
        StackedAutoEncoderClassifier(4, pretrain_max_iter=2, **SMALL), X, np.where(y < 8, y, -1).astype(str)
    ),
    "early stopping": fitting(
        AutoEncoderTransformer(
            4, early_stopping=True, learning_rate_init=0.1, n_iter_no_change=4, **SMALL | {"max_iter": 30}
        )
    ),
    "adaptive": fitting(
        AutoEncoderTransformer(4, learning_rate="adaptive", learning_rate_init=0.1, n_iter_no_change=1, **SMALL)
    ),
    "warm start": fitting_again(AutoEncoderTransformer(4, warm_start=True, early_stopping=True, **SMALL)),
    "warm start, own network": fitting_again(AutoEncoderTransformer(4, network=own_network, warm_start=True, **SMALL)),
    "table": fitting(AutoEncoderTransformer(2, **SMALL), TABLE),
    "stream": fitting(DenoisingAutoEncoder(4, early_stopping=True, **SMALL), Batches()),
    "random seed": fitting(VariationalAutoEncoder(4, **SMALL | {"random_state": None})),
    "random state": lambda *callbacks: fitting(
        AutoEncoderTransformer(4, **SMALL | {"random_state": np.random.RandomState(0)})
    )(*callbacks),
    "bfloat16": fitting(AutoEncoderTransformer(4, precision="bfloat16", **SMALL)),
    "detector": fitting(AutoEncoderOutlierDetector(DenoisingAutoEncoder(4, **SMALL))),
    "detector, table": fitting(AutoEncoderOutlierDetector(DenoisingAutoEncoder(2, **SMALL), random_state=0), TABLE),
    "bag": fitting(AutoEncoderOutlierDetector(AutoEncoderTransformer(4, **SMALL), n_estimators=3, random_state=0)),
    "default detector": fitting(AutoEncoderOutlierDetector(n_estimators=3, random_state=0)),
    "default detector, table": fitting(AutoEncoderOutlierDetector(n_estimators=3, random_state=0), TABLE),
}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize(("every", "n_epochs"), [(1, 5), (2, 3)])
def test_a_fit_goes_on_with_the_same_bits(name, every, n_epochs, folder, tmp_path):
    copied, counted, counted_again = tmp_path / "copied", Count(), Count()
    whole = FITS[name](Checkpoint(folder / "fit.skae", every), Copy(folder, n_epochs, copied), counted)
    resumed = FITS[name](Checkpoint(copied / "fit.skae", every, resume=True), counted_again)
    assert contents(resumed, tmp_path) == contents(whole, tmp_path)
    assert counted_again.n == counted.n - n_epochs // every * every
