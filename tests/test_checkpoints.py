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

import killed_fit
import numpy as np
import pandas as pd
import pytest
import torch
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


def no_space(*_, **__):
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
    """A stream."""

    def __iter__(self):
        yield from np.array_split(X, 5)


def own_network(n_features, n_components):
    encoder = nn.Sequential(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, n_components))
    return encoder, nn.Sequential(nn.Linear(n_components, 8), nn.Dropout(0.2), nn.Linear(8, n_features))


def own_noise(batch, generator):
    return batch + torch.randn(batch.shape, generator=generator)


def fitting(autoencoder, X=X, y=None):
    """Return a function that fits a clone with callbacks."""
    return lambda *callbacks: clone(autoencoder).set_callbacks(*callbacks).fit(X, y)


def fitting_again(autoencoder):
    def fit(*callbacks):
        fitted = clone(autoencoder).fit(X[:80])
        return fitted.set_callbacks(*callbacks).fit(X)

    return fit


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
    "own noise": fitting(DenoisingAutoEncoder(4, corruption=own_noise, **SMALL)),
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
        # the loss counts as stalled: 5 epochs
        AutoEncoderTransformer(4, early_stopping=True, tol=10, n_iter_no_change=4, **SMALL)
    ),
    "adaptive": fitting(
        AutoEncoderTransformer(4, learning_rate="adaptive", tol=10, n_iter_no_change=1, **SMALL)  # 6 epochs
    ),
    "warm start": fitting_again(AutoEncoderTransformer(4, warm_start=True, early_stopping=True, **SMALL)),
    "warm start, own network": fitting_again(AutoEncoderTransformer(4, network=own_network, warm_start=True, **SMALL)),
    "table": fitting(AutoEncoderTransformer(2, **SMALL), TABLE),
    "stream": fitting(DenoisingAutoEncoder(4, early_stopping=True, **SMALL), Batches()),
    "stream, shuffled in parts": fitting(AutoEncoderTransformer(4, max_memory=0.05, **SMALL), Batches()),
    "random seed": fitting(VariationalAutoEncoder(4, **SMALL | {"random_state": None})),
    "random state": fitting(AutoEncoderTransformer(4, **SMALL | {"random_state": np.random.RandomState(0)})),
    "bfloat16": fitting(AutoEncoderTransformer(4, precision="bfloat16", **SMALL)),
    "detector": fitting(AutoEncoderOutlierDetector(DenoisingAutoEncoder(4, **SMALL))),
    "detector, table": fitting(AutoEncoderOutlierDetector(DenoisingAutoEncoder(2, **SMALL), random_state=0), TABLE),
    "bag": fitting(AutoEncoderOutlierDetector(AutoEncoderTransformer(4, **SMALL), n_estimators=3, random_state=0)),
    "default detector": fitting(AutoEncoderOutlierDetector(n_estimators=3, random_state=0)),
    "default detector, table": fitting(AutoEncoderOutlierDetector(n_estimators=3, random_state=0), TABLE),
}


@pytest.mark.parametrize(
    ("name", "every", "n_epochs"),
    [
        *((name, 2, 5) for name in FITS),
        ("plain", 1, 8),
        ("early stopping", 1, 5),
        ("adaptive", 1, 4),
        ("classifier", 1, 8),
    ],
)
def test_a_fit_goes_on_with_the_same_bits(name, every, n_epochs, folder, tmp_path):
    copied, counted, counted_again = tmp_path / "copied", Count(), Count()
    whole = FITS[name](Checkpoint(folder / "fit.skae", every), Copy(folder, n_epochs, copied), counted)
    resumed = FITS[name](Checkpoint(copied / "fit.skae", every, resume=True), counted_again)
    assert contents(resumed, tmp_path) == contents(whole, tmp_path)
    assert counted_again.n == counted.n - n_epochs // every * every


def test_a_bag_goes_on_within_a_later_member(folder, tmp_path):
    fit = FITS["bag"]
    whole = fit(Checkpoint(folder / "fit.skae", 2), Copy(folder, 11, tmp_path / "copied"))
    resumed = fit(Checkpoint(tmp_path / "copied" / "fit.skae", 2, resume=True), counted := Count())
    assert contents(resumed, tmp_path) == contents(whole, tmp_path)
    assert counted.n == 3 * 8 - 10


PIPELINE = make_pipeline(StandardScaler(), DenoisingAutoEncoder(2, **SMALL), AutoEncoderTransformer(1, **SMALL))


def test_a_pipeline_goes_on(folder, tmp_path):
    whole = fitting(PIPELINE)(Checkpoint(folder / "fit.skae", 2), Copy(folder, 11, tmp_path / "copied"))
    resumed = fitting(PIPELINE)(Checkpoint(tmp_path / "copied" / "fit.skae", 2, resume=True), counted := Count())
    for k in (1, 2):
        assert contents(resumed[k], tmp_path) == contents(whole[k], tmp_path)
    assert counted.n == 2 * 8 - 10


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_a_search_goes_on(backend, folder, tmp_path):
    search = GridSearchCV(PIPELINE, {"autoencodertransformer__alpha": [0.0, 0.1]}, cv=2)
    whole = fitting(search)(Checkpoint(folder / "fit.skae", 2), Copy(folder, 43, tmp_path / "copied"))
    with parallel_config(backend, n_jobs=2):
        resumed = fitting(search)(Checkpoint(tmp_path / "copied" / "fit.skae", 2, resume=True), counted := Count())
    assert np.array_equal(resumed.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"])
    assert contents(resumed.best_estimator_[-1], tmp_path) == contents(whole.best_estimator_[-1], tmp_path)
    assert names_in(tmp_path / "copied") == names_in(folder)
    if backend == "sequential":
        assert counted.n == 10 * 8 - 42


def test_a_fit_that_was_killed_twice_goes_on(folder, tmp_path):
    fit, second, third = FITS["detector, table"], tmp_path / "second", tmp_path / "third"
    whole = fit(Checkpoint(folder / "fit.skae", 1), Copy(folder, 3, second))
    fit(Checkpoint(second / "fit.skae", 1, resume=True), Copy(second, 2, third))
    resumed = fit(Checkpoint(third / "fit.skae", 1, resume=True), counted := Count())
    assert contents(resumed, tmp_path) == contents(whole, tmp_path)
    assert counted.n == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError, MemoryError])
@pytest.mark.parametrize("every", [3, 100])
def test_a_fit_that_ends_early_is_saved_and_goes_on(plane, folder, path, tmp_path, error, every):
    whole = quick(early_stopping=True).fit(plane)
    autoencoder = quick(early_stopping=True).set_callbacks(Checkpoint(path, every), FailAfter(4, error))
    with pytest.raises(error):
        autoencoder.fit(plane)
    saved = load(the_file(folder))
    assert saved.n_iter_ == 4
    if error is not MemoryError:  # which leaves it unfitted
        assert saved.loss_curve_ == autoencoder.loss_curve_
    autoencoder.set_callbacks(Checkpoint(path, every, resume=True)).fit(plane)  # the same object may go on, too
    assert contents(autoencoder, tmp_path) == contents(whole, tmp_path)


def test_a_fit_that_had_ended_is_not_run_again(plane, folder, path, tmp_path):
    whole = quick(early_stopping=True).set_callbacks(Checkpoint(path)).fit(plane)
    resumed = quick(early_stopping=True).set_callbacks(Checkpoint(path, resume=True), counted := Count())
    assert contents(resumed.fit(plane), tmp_path) == contents(whole, tmp_path)
    assert counted.n == 0


def test_a_fit_that_had_ended_keeps_its_own_settings(plane, path):
    named, other = (pd.DataFrame(plane, columns=list(names)) for names in ("abcde", "vwxyz"))
    quick().set_output(transform="pandas").set_callbacks(Checkpoint(path)).fit(named)
    checkpoint = Checkpoint(path, resume=True)
    assert isinstance(quick().set_callbacks(checkpoint).fit(named).transform(named), np.ndarray)
    assert list(quick().set_callbacks(checkpoint).fit(other).feature_names_in_) == list("vwxyz")
    assert not hasattr(quick().set_callbacks(checkpoint).fit(plane), "feature_names_in_")


def test_one_of_two_checkpoints_is_enough(plane, path, tmp_path):
    whole = quick().set_callbacks(Checkpoint(path)).fit(plane)
    checkpoints = [Checkpoint(name, resume=True) for name in (path, tmp_path / "other.skae")]
    resumed = quick().set_callbacks(*checkpoints, counted := Count()).fit(plane)
    assert contents(resumed, tmp_path) == contents(whole, tmp_path)
    assert counted.n == 0


def test_without_resume_a_fit_begins_anew(plane, path, folder):
    for _ in range(2):
        quick().set_callbacks(Checkpoint(path), counted := Count()).fit(plane)
        assert counted.n == 5
    assert len(names_in(folder)) == 1


def test_a_random_state_moves_on_as_in_a_fit_from_the_start(plane, path):
    states = []
    for _ in range(2):
        random_state = np.random.RandomState(0)
        quick(random_state=random_state).set_callbacks(Checkpoint(path, resume=True)).fit(plane)
        states.append(random_state.randint(1000))
    assert states[0] == states[1]


@pytest.mark.parametrize(
    "other",
    [
        lambda plane: quick(max_iter=6).set_callbacks,
        lambda plane: quick(alpha=0.1).set_callbacks,
        lambda plane: quick(random_state=1).set_callbacks,
        lambda plane: quick(network=lambda n, k: (nn.Linear(n, k), nn.Linear(k, n))).set_callbacks,
        lambda plane: quick(network=lambda n, k: (nn.Linear(n, k), nn.Linear(k, n, bias=False))).set_callbacks,
        lambda plane: DenoisingAutoEncoder(2, **SMALL).set_callbacks,
        lambda plane: quick(warm_start=True).fit(plane).set_callbacks,
        lambda plane: quick(warm_start=True).fit(plane[:100]).set_callbacks,
    ],
)
def test_a_fit_of_other_parameters_has_another_file(plane, path, folder, other):
    network = lambda n, k: (nn.Linear(n, k, bias=False), nn.Linear(k, n))  # noqa: E731
    quick().set_callbacks(Checkpoint(path)).fit(plane)
    quick(warm_start=True).fit(2 * plane).set_callbacks(Checkpoint(path)).fit(plane)
    quick(network=network).set_callbacks(Checkpoint(path)).fit(plane)
    before = {file: file.read_bytes() for file in folder.iterdir()}
    other(plane)(Checkpoint(path, resume=True)).fit(plane)
    assert len(names_in(folder)) == 4
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    "change", [lambda X: X[:-1], lambda X: X[::-1], lambda X: np.where(np.arange(5) == 2, X + 1e-9, X)]
)
def test_a_fit_on_other_rows_has_another_file(plane, path, folder, change):
    quick().set_callbacks(Checkpoint(path)).fit(plane)
    before = the_file(folder), the_file(folder).read_bytes()
    quick().set_callbacks(Checkpoint(path, resume=True), counted := Count()).fit(change(plane))
    assert counted.n == 5
    assert len(names_in(folder)) == 2
    assert before[0].read_bytes() == before[1]


def test_a_fit_to_other_classes_has_another_file(path, folder):
    for classes in (["a", "b"], ["c", "d"]):
        labels = np.array(classes)[y % 2]
        classifier = StackedAutoEncoderClassifier(4, pretrain_max_iter=1, **SMALL)
        assert list(classifier.set_callbacks(Checkpoint(path, resume=True)).fit(X, labels).classes_) == classes
    assert len(names_in(folder)) == 2


# ---- files that cannot be gone on from ----------------------------------------------------------------------


def cut(file):
    file.write_bytes(file.read_bytes()[:-7])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file):
    file.write_bytes(b"")


def make_folder(file):
    file.unlink()
    file.mkdir()


def of_another_fit(file):
    file.unlink()
    quick(3).set_callbacks(Checkpoint(file.parent / "other.skae")).fit(X)
    the_file(file.parent).rename(file)


def without_training(file):
    save(quick().fit(X), file)


@pytest.mark.parametrize(
    "damage",
    [cut, flip, empty, of_another_fit, without_training, make_folder],
)
@pytest.mark.parametrize("is_fitted", [False, True])
def test_a_file_that_is_not_of_this_fit_is_refused_before_training(plane, path, folder, damage, is_fitted):
    quick(max_iter=4).set_callbacks(Checkpoint(path)).fit(plane)
    file = the_file(folder)
    damage(file)
    content = file.read_bytes() if file.is_file() else None
    autoencoder = quick(max_iter=4)
    if is_fitted:
        autoencoder.fit(2 * plane)
    before = dict(vars(autoencoder))
    autoencoder.set_callbacks(Checkpoint(path, resume=True), counted := Count())
    with pytest.raises(ArtifactError, match=f"(?s){re.escape(repr(str(file)))}.*Move it away"):
        autoencoder.fit(plane)
    autoencoder.set_callbacks()
    assert vars(autoencoder) == before
    assert counted.n == 0
    assert names_in(folder) == [file.name]
    assert content is None or file.read_bytes() == content


def test_code_that_is_not_the_same_is_refused(plane, path, folder):
    """Of callable objects only the class is known: the weights show that it is another."""

    class OwnNetwork:
        def __init__(self, bias):
            self.bias = bias

        def __call__(self, n, k):
            return nn.Linear(n, k, bias=self.bias), nn.Linear(k, n)

    quick(network=OwnNetwork(True)).set_callbacks(Checkpoint(path)).fit(plane)
    with pytest.raises(ArtifactError, match="Move it away"):
        quick(network=OwnNetwork(False)).set_callbacks(Checkpoint(path, resume=True)).fit(plane)


# ---- what is saved, and where --------------------------------------------------------------------------------


def test_a_checkpoint_is_what_the_fit_was_then(plane, folder, path):
    scores = []

    def look(epoch, fitted):
        scores.append(fitted.score(plane))
        if epoch + 1 >= 3:
            saved = load(the_file(folder))
            assert saved.n_iter_ == (epoch + 1) // 3 * 3
            assert saved.score(plane) == scores[saved.n_iter_ - 1]

    quick(max_iter=8).set_callbacks(Checkpoint(path, every=3), EveryEpoch(look)).fit(plane)
    assert len(scores) == 8


@pytest.mark.parametrize("every", [3, 4, 100])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_last_checkpoint_is_the_fitted_autoencoder(plane, folder, path, tmp_path, every, early_stopping):
    autoencoder = quick(max_iter=8, early_stopping=early_stopping, learning_rate_init=0.1)
    autoencoder.set_callbacks(Checkpoint(path, every)).fit(plane)
    saved = load(the_file(folder))
    assert contents(saved, tmp_path) == contents(autoencoder, tmp_path)
    assert saved.score(plane) == autoencoder.score(plane)
    assert not hasattr(saved, "_skl_callbacks")


def test_a_fit_that_a_callback_stops_is_saved(plane, folder, path):
    quick(max_iter=50).set_callbacks(Checkpoint(path), EveryEpoch(lambda epoch, _: epoch == 3)).fit(plane)
    assert load(the_file(folder)).n_iter_ == 4


def test_a_fit_without_a_whole_epoch_leaves_the_checkpoint_before(plane, folder, path):
    checkpoint = Checkpoint(path)
    quick().set_callbacks(checkpoint).fit(plane)
    before = the_file(folder).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        quick().set_callbacks(checkpoint, FailAfter(0, KeyboardInterrupt)).fit(plane)
    assert the_file(folder).read_bytes() == before


@pytest.mark.parametrize(
    ("wrap", "places"),
    [
        (lambda a: a, [""]),
        (lambda a: make_pipeline(StandardScaler(), a), ["fit-final-estimator-1."]),
        (lambda a: Pipeline([("../a b/", a), ("b", a)]), ["fit-final-estimator-1.", "fit-transform-.._a_b_-0."]),
        (AutoEncoderOutlierDetector, ["fit-autoencoder-0."]),
        (
            lambda a: AutoEncoderOutlierDetector(a, n_estimators=2),
            ["fit-autoencoder-0.fit-member-0.", "fit-autoencoder-0.fit-member-1."],
        ),
        (
            lambda a: GridSearchCV(a, {"n_components": [1]}, cv=2),
            ["refit-with-best-params-1.", *(f"search-0.candidate-split-evaluation-{i}." for i in range(2))],
        ),
        (
            lambda a: BatchedGridSearchCV(a, {"n_components": [1]}, cv=2),
            ["refit-with-best-params-1.", *(f"search-0.candidate-split-evaluation-{i}." for i in range(2))],
        ),
        (
            lambda a: GridSearchCV(
                make_pipeline(StandardScaler(), AutoEncoderOutlierDetector(a)),
                {"autoencoderoutlierdetector__autoencoder__n_components": [1]},
                scoring=lambda estimator, X, y=None: 0.0,
                cv=2,
            ),
            [
                f"{fit}.fit-final-estimator-1.fit-autoencoder-0."
                for fit in (
                    "refit-with-best-params-1",
                    "search-0.candidate-split-evaluation-0",
                    "search-0.candidate-split-evaluation-1",
                )
            ],
        ),
    ],
    ids=["alone", "pipeline", "odd names", "detector", "members", "search", "batched search", "search over all"],
)
def test_every_fit_has_a_checkpoint_of_its_own(plane, folder, path, wrap, places):
    wrap(quick(max_iter=2)).set_callbacks(Checkpoint(path)).fit(plane)
    assert [without_key(name) for name in names_in(folder)] == [f"plane.{place}<key>.skae" for place in places]
    assert {load(file).n_iter_ for file in folder.iterdir()} == {2}


side_by_side = pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])


@side_by_side
def test_checkpoints_of_a_search(plane, folder, path, backend):
    pipeline = make_pipeline(StandardScaler(), quick())
    search = GridSearchCV(pipeline, {"autoencodertransformer__max_iter": [2, 3, 4]}, cv=3)
    with parallel_config(backend, n_jobs=2):
        search.set_callbacks(Checkpoint(path, every=1)).fit(plane)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    saved = {without_key(name): load(folder / name) for name in names_in(folder)}
    assert len(saved) == 3 * 3 + 1
    assert sorted(saved[name].n_iter_ for name in saved if ".search" in name) == sorted([2, 3, 4] * 3)
    refit = saved["plane.refit-with-best-params-1.fit-final-estimator-1.<key>.skae"]
    assert refit.loss_curve_ == search.best_estimator_[-1].loss_curve_


@side_by_side
def test_fits_of_a_search_that_fail_are_saved(plane, folder, path, backend):
    autoencoder = quick().set_callbacks(FailAfter(3, FloatingPointError))
    search = GridSearchCV(autoencoder, {"n_components": [1, 2]}, cv=2)
    with parallel_config(backend, n_jobs=2), pytest.raises(ValueError, match="All the 4 fits failed"):
        search.set_callbacks(Checkpoint(path, every=2)).fit(plane)
    assert [load(file).n_iter_ for file in folder.iterdir()] == [3, 3, 3, 3]


@side_by_side
def test_every_fold_of_a_cross_validation_has_a_checkpoint(plane, folder, path, backend):
    autoencoder = quick(max_iter=3).set_callbacks(Checkpoint(path, every=1))
    with parallel_config(backend, n_jobs=2):
        assert np.isfinite(cross_validate(autoencoder, plane, cv=8, error_score="raise")["test_score"]).all()
    assert [load(file).n_iter_ for file in folder.iterdir()] == [3] * 8


@side_by_side
def test_fits_side_by_side_may_save_to_one_checkpoint(plane, folder, path, tmp_path, backend):
    autoencoder = quick(max_iter=10).set_callbacks(Checkpoint(path, every=1, resume=True))
    with parallel_config(backend, n_jobs=2):
        fitted = Parallel()(delayed(clone(autoencoder).fit)(plane) for _ in range(6))
    expected = contents(quick(max_iter=10).fit(plane), tmp_path)
    assert {contents(autoencoder, tmp_path) for autoencoder in [*fitted, load(the_file(folder))]} == {expected}


def test_worker_processes_save_to_the_folder_of_their_fit(plane, tmp_path, monkeypatch):
    with parallel_config("loky", n_jobs=2):
        Parallel()(delayed(abs)(i) for i in range(2))  # there are workers, in another folder
        monkeypatch.chdir(tmp_path)
        search = GridSearchCV(quick(max_iter=1), {"n_components": [1, 2]}, cv=2)
        search.set_callbacks(Checkpoint("plane.skae")).fit(plane)
    assert len(names_in(tmp_path)) == 5


def test_others_may_read_a_checkpoint_as_any_new_file(plane, folder, path):
    quick(max_iter=1).set_callbacks(Checkpoint(path)).fit(plane)
    file = the_file(folder)
    (folder / "new").touch()
    assert file.stat().st_mode == (folder / "new").stat().st_mode


def test_checkpoints_keep_company(plane, folder, path, capsys, tmp_path):
    """Other callbacks are called as without a checkpoint, before and after it."""
    pytest.importorskip("rich")
    monitor = ScoringMonitor(scoring={"score": lambda estimator, X, y: estimator.score(X, y)})
    others, copied = (monitor, ProgressBar(max_propagation_depth=None)), tmp_path / "copied"
    whole = quick(max_iter=6).set_callbacks(*others, Checkpoint(path, 2), Copy(folder, 3, copied)).fit(plane)
    checkpoint = Checkpoint(copied / "plane.skae", 2, resume=True)
    resumed = quick(max_iter=6).set_callbacks(checkpoint, *others).fit(plane)
    assert contents(resumed, tmp_path) == contents(whole, tmp_path)
    log = monitor.get_logs().data_as_pandas.query("task_name == 'epoch'")
    assert len(log) == 4
    assert log["score"].iloc[-1] == pytest.approx(whole.score(plane))


# ---- files that cannot be written ----------------------------------------------------------------------------


def test_a_checkpoint_that_cannot_be_written_is_told_of_and_the_fit_goes_on(plane, folder, path, full_disk, caplog):
    checkpoint = Checkpoint(path, every=2)
    quick().set_callbacks(checkpoint).fit(plane)
    before = the_file(folder).read_bytes()
    full_disk()
    assert quick().set_callbacks(checkpoint).fit(plane).n_iter_ == 5
    assert the_file(folder).read_bytes() == before
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("skae.callbacks.checkpoint", "WARNING")
    assert str(the_file(folder)) in record.getMessage()
    assert "No space left on device" in record.getMessage()


def test_a_disk_that_is_full_for_a_while_is_no_more_than_a_lost_checkpoint(plane, folder, path, monkeypatch, caplog):
    def fill_and_empty(epoch, _):
        monkeypatch.undo() if epoch else monkeypatch.setattr("skae.persistence.container.os.fsync", no_space)

    quick().set_callbacks(EveryEpoch(fill_and_empty), Checkpoint(path, every=1)).fit(plane)
    assert len(caplog.records) == 1
    assert load(the_file(folder)).n_iter_ == 5


def test_a_checkpoint_whose_folder_goes_is_told_of_and_the_fit_goes_on(plane, folder, path, caplog):
    def replace_folder(epoch, _):
        if epoch == 1:
            shutil.rmtree(folder)
            folder.touch()

    autoencoder = quick().set_callbacks(Checkpoint(path, every=1), EveryEpoch(replace_folder))
    assert autoencoder.fit(plane).n_iter_ == 5
    assert len(caplog.records) == 1


@pytest.mark.parametrize("backend", ["sequential", "threading"])  # what worker processes log is theirs
def test_every_fit_tells_of_its_checkpoint_once(plane, path, full_disk, caplog, backend):
    full_disk()
    search = GridSearchCV(quick(), {"n_components": [1, 2]}, cv=2).set_callbacks(Checkpoint(path, every=1))
    with parallel_config(backend, n_jobs=2):
        search.fit(plane)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records) == 5


class OwnAutoEncoder(AutoEncoderTransformer):
    """A class of the user's, which no file of skae's can hold."""


class NoCopies(nn.Linear):
    """A layer that cannot be copied while it is trained."""

    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


@pytest.mark.parametrize(
    ("autoencoder", "message"),
    [
        (OwnAutoEncoder(2, **SMALL), "OwnAutoEncoder"),
        (quick(random_state=np.random.RandomState(np.random.PCG64(0))), "RandomState"),
        (quick(network=lambda n, k: (NoCopies(n, k), nn.Linear(k, n))), "no copies"),
    ],
)
def test_an_autoencoder_that_cannot_be_saved_is_fitted_all_the_same(plane, path, caplog, autoencoder, message):
    autoencoder.set_callbacks(Checkpoint(path, every=2, resume=True)).fit(plane)
    assert autoencoder.n_iter_ == autoencoder.max_iter
    (record,) = caplog.records
    assert message in record.getMessage()


@pytest.mark.parametrize("function", ["os.fsync", "Path.replace"])
def test_an_interrupted_checkpoint_leaves_the_one_before(plane, folder, path, monkeypatch, function):
    def interrupt(*_):
        raise KeyboardInterrupt

    checkpoint = Checkpoint(path, every=2)
    quick().set_callbacks(checkpoint).fit(plane)
    before = the_file(folder).read_bytes()
    monkeypatch.setattr(f"skae.persistence.container.{function}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        quick().set_callbacks(checkpoint).fit(plane)
    assert the_file(folder).read_bytes() == before


@pytest.mark.parametrize("where", ["", "file/plane.skae"])
@pytest.mark.parametrize("wrap", [lambda a: a, AutoEncoderOutlierDetector], ids=["alone", "detector"])
def test_a_path_where_there_can_be_no_file_is_refused_before_training(plane, tmp_path, where, wrap):
    (tmp_path / "file").touch()
    path, epochs = tmp_path / where, []
    detector = wrap(quick().set_callbacks(EveryEpoch(lambda *_: epochs.append(0))))
    others = getattr(detector, "_skl_callbacks", [])
    with pytest.raises(ValueError, match=f"path={re.escape(repr(str(path)))}.*[Gg]ive"):
        detector.set_callbacks(*others, Checkpoint(path)).fit(plane)
    assert not epochs
    assert names_in(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(plane, folder, path, monkeypatch):
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # an administrator may write everywhere
        monkeypatch.setattr("skae.callbacks.checkpoint.TemporaryFile", no_space)
    with pytest.raises(ValueError, match=r"cannot be written.*Give another"):
        quick().set_callbacks(Checkpoint(path), counted := Count()).fit(plane)
    assert counted.n == 0


# ---- the callback itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_checkpoints_can_be_copied_in_a_fit(plane, folder, path, copied):
    checkpoint, copies = Checkpoint(path, every=2), []
    quick().set_callbacks(checkpoint, EveryEpoch(lambda *_: copies.append(copied(checkpoint)))).fit(plane)
    the_file(folder).unlink()
    for duplicate in copies:
        pickle.dumps(duplicate)
        assert not names_in(folder)
        quick(max_iter=3).set_callbacks(duplicate).fit(plane)
        assert load(the_file(folder)).n_iter_ == 3
        the_file(folder).unlink()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: make_pipeline(StandardScaler(), a),
        lambda a: GridSearchCV(a, {"n_components": [1, 2]}, cv=2),
        AutoEncoderOutlierDetector,
    ],
    ids=["pipeline", "search", "detector"],
)
def test_a_checkpoint_within_another_estimator_is_refused_before_training(plane, path, wrap):
    epochs = []
    inner = quick().set_callbacks(Checkpoint(path), EveryEpoch(lambda *_: epochs.append(0)))
    with pytest.raises((TypeError, ValueError), match=r"Checkpoint.*directly on the meta-estimator"):
        wrap(inner).fit(plane)
    assert not epochs


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"every": 0}, "every=0.*1 or more"), ({"every": 1.5}, "every=1.5.*1 or more"), ({"resume": 1}, "resume=1.*True")],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        Checkpoint("autoencoder.skae", **parameters)


def test_safetensors_is_asked_for_before_the_fit(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "skae\[files\]"'):
        Checkpoint("autoencoder.skae")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_callback_that_fails_before_training_leaves_everything(plane, folder, path, error):
    class Fails(EveryEpoch):
        def on_fit_task_begin(self, estimator, context):
            raise error

    quick().set_callbacks(Checkpoint(path)).fit(plane)
    before = the_file(folder).read_bytes()
    checkpoint, autoencoder = Checkpoint(path, resume=True), quick()
    with pytest.raises(error):
        autoencoder.set_callbacks(checkpoint, Fails(None)).fit(plane)
    assert the_file(folder).read_bytes() == before
    assert not checkpoint._records
    assert not autoencoder.__sklearn_is_fitted__()


# ---- killed processes ----------------------------------------------------------------------------------------


def start(case, folder, seconds_an_epoch):
    arguments = [case, str(folder), str(seconds_an_epoch)]
    return subprocess.Popen(
        [sys.executable, killed_fit.__file__, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def end(case, folder):
    """Let the fit end; return what it has saved."""
    assert start(case, folder, 0.0).wait() == 0
    return (folder / "ended").read_bytes()


@pytest.mark.parametrize(
    ("case", "n_kills"),
    [("dense", 2), *(pytest.param(case, 20, marks=pytest.mark.long) for case in killed_fit.CASES)],
)
def test_killed_fits_end_with_the_same_bits(case, n_kills, tmp_path):
    killed, whole, chance = tmp_path / "killed", tmp_path / "whole", random.Random(0)
    killed.mkdir()
    whole.mkdir()
    for _ in range(n_kills):
        process = start(case, killed, 0.01)
        while not (killed / "begun").exists():
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.25))
        process.kill()
        assert process.wait() == -signal.SIGKILL  # it had not ended
        (killed / "begun").unlink()
    assert end(case, killed) == end(case, whole)
