"""The progress bar that says the epoch and the loss."""

import pickle
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import quick

from skae import AutoEncoderOutlierDetector
from skae.callbacks import ProgressBar, progress
from skae.model_selection import BatchedGridSearchCV

rich = pytest.importorskip("rich")


@pytest.fixture(autouse=True)
def _eighty_characters(monkeypatch):
    monkeypatch.setattr(rich.get_console(), "width", 80)


def fits(capsys):
    """What is drawn of the fits of autoencoders: (indentation, text beside the bar)."""
    bars = [bar.rstrip() for bar in capsys.readouterr().out.splitlines() if "AutoEncoderTransformer - fit" in bar]
    assert all("100% 0:00:" in bar for bar in bars)  # time
    return sorted((len(bar) - len(bar.lstrip()), bar.split(" 0:00:")[1][3:]) for bar in bars)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_bar_says_every_epoch_and_its_loss(plane, capsys, monkeypatch, early_stopping):
    said, send = [], progress.send_to_bars
    monkeypatch.setattr(progress, "send_to_bars", lambda *args: said.append(args[-1]) or send(*args))
    autoencoder = quick(max_iter=3, early_stopping=early_stopping).set_callbacks(ProgressBar()).fit(plane)

    name, losses = (
        ("val. loss", autoencoder.validation_loss_curve_) if early_stopping else ("loss", autoencoder.loss_curve_)
    )
    assert said == [f"epoch {epoch}/3, {name} {loss:.3g}" for epoch, loss in enumerate(losses, 1)]
    assert fits(capsys) == [(0, said[-1])]


@pytest.mark.parametrize(
    ("make_search", "backend"),
    [
        (partial(GridSearchCV, n_jobs=2), "threading"),
        (partial(GridSearchCV, n_jobs=2), "loky"),
        (BatchedGridSearchCV, None),
    ],
    ids=["threads", "processes", "batched"],
)
def test_every_fit_of_a_search_says_its_loss(plane, capsys, make_search, backend):
    search = make_search(quick(max_iter=2), {"n_components": [1, 2]}, cv=2)
    with parallel_config(backend or "sequential"):
        search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(plane)

    drawn = fits(capsys)
    assert [depth for depth, _ in drawn] == [2] + [4] * 4
    assert drawn[0][1] == f"epoch 2/2, loss {search.best_estimator_.loss_curve_[-1]:.3g}"
    assert all(text.startswith("epoch 2/2, loss ") for _, text in drawn)


@pytest.mark.parametrize(
    ("wrap", "depth", "n"),
    [
        (lambda a: make_pipeline(StandardScaler(), a), 1, 1),
        (AutoEncoderOutlierDetector, 1, 1),
        (lambda a: AutoEncoderOutlierDetector(a, n_estimators=2), 2, 2),
        (lambda a: AutoEncoderOutlierDetector(a, n_estimators=2), 1, 0),
    ],
    ids=["pipeline", "detector", "bag", "bag as a whole"],
)
def test_the_fits_within_other_estimators_say_their_loss(plane, capsys, wrap, depth, n):
    wrap(quick(max_iter=2)).set_callbacks(ProgressBar(max_propagation_depth=depth)).fit(plane)
    drawn = fits(capsys)
    assert len(drawn) == n
    assert all(text.startswith("epoch 2/2, loss ") for _, text in drawn)


def test_a_warm_start_counts_its_own_epochs(plane, capsys):
    autoencoder = quick(max_iter=2, warm_start=True).fit(plane).set_callbacks(ProgressBar()).fit(plane)
    assert fits(capsys) == [(0, f"epoch 2/2, loss {autoencoder.loss_curve_[3]:.3g}")]


def test_a_bar_can_be_pickled_and_used_again(plane, capsys):
    bar = pickle.loads(pickle.dumps(ProgressBar()))
    for _ in range(2):
        quick(max_iter=1).set_callbacks(bar).fit(plane)
        assert len(fits(capsys)) == 1


def test_ipywidgets_are_asked_for_in_a_notebook(monkeypatch):
    monkeypatch.setattr("rich.get_console", lambda: SimpleNamespace(is_jupyter=True))
    monkeypatch.setitem(sys.modules, "ipywidgets", SimpleNamespace(__spec__="a specification"))
    ProgressBar()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r'needs ipywidgets in a notebook: .*"skae\[progress\]"'):
        ProgressBar()


@pytest.mark.long
def test_the_bar_is_drawn_in_a_notebook(tmp_path):
    for module in ("ipykernel", "ipywidgets"):
        pytest.importorskip(module)
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    code = """
import numpy as np
from skae import AutoEncoderTransformer
from skae.callbacks import ProgressBar
X = np.random.default_rng(0).normal(size=(200, 5))
AutoEncoderTransformer(2, max_iter=3).set_callbacks(ProgressBar()).fit(X);
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=120, store_widget_state=True).execute()
    widgets = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    (drawn,) = (widget["state"]["outputs"] for widget in widgets if widget["model_name"] == "OutputModel")
    assert "epoch 3/3, loss" in drawn[0]["data"]["text/plain"]
