"""Training of several autoencoders of one shape at once: many small networks cost little more than one."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from itertools import pairwise
from numbers import Integral
from types import NoneType
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch

from skae._compat import in_own_modes
from skae.device import resolve_device
from skae.estimators.fit_key import fit_key
from skae.networks import DenseNetwork, MemoryNetwork, stack_networks, unstack_networks
from skae.precision import training_precision
from skae.random import seed_from
from skae.tables import Table
from skae.training import History, Rows, train

logger = logging.getLogger(__name__)

MAY_DIFFER = ("random_state", "learning_rate_init", "alpha")  # in which the members of a batch may differ
BATCH_BYTES = {"cpu": 2**23, "cuda": 2**31, "mps": 2**31}  # of a step; on a CPU what the caches hold


class Fit(NamedTuple):
    """An autoencoder to train."""

    autoencoder: Any  # unfitted
    X: np.ndarray  # checked
    rows: np.ndarray | None = None  # numbers of those of X to train on; None stands for all

    @property
    def n_rows(self) -> int:
        """Number of rows to train on."""
        return len(self.X) if self.rows is None else len(self.rows)


def can_be_batched(autoencoder: Any) -> bool:
    """Whether an unfitted autoencoder can be trained in a batch as it would be by itself."""
    return (
        autoencoder._can_be_batched
        and type(autoencoder.network) in (DenseNetwork, MemoryNetwork, NoneType)
        # it cancels biases: their gradients are rounding errors, of which Adam makes steps of full size
        and getattr(autoencoder.network, "normalization", None) != "batch"
        # members of a batch share their epochs and end together
        and not (autoencoder.early_stopping or autoencoder.warm_start or autoencoder.learning_rate == "adaptive")
        and not isinstance(autoencoder.random_state, np.random.RandomState)  # from which fits draw in turn
        and not getattr(autoencoder, "_skl_callbacks", None)
    )


def train_batched(fits: Sequence[Fit]) -> None:
    """Train autoencoders that can be batched, each as if by itself, up to rounding.

    A batch that fails leaves its members unfitted; a KeyboardInterrupt leaves the best weights so far, if an epoch was
    finished.
    """
    for batch in _batches(fits):
        with suppress(Exception):  # trained one by one, the member at fault raises it
            _train_batch(batch)


def _batches(fits: Sequence[Fit]) -> Iterator[list[Fit]]:
    """Split fits into batches of one shape and nearly one number of rows, within `BATCH_BYTES`."""
    alike: defaultdict[tuple, list[Fit]] = defaultdict(list)
    for fit in fits:
        device = resolve_device(fit.autoencoder.device).type
        layout = fit.autoencoder._given_layout  # members of a bag share it
        alike[fit_key(fit.autoencoder, MAY_DIFFER), device, fit.X.shape[1], id(layout)].append(fit)
    for (_, device, n_features, _), members in alike.items():
        members.sort(key=lambda fit: fit.n_rows)
        while members:
            first = members[0]
            most = max(1, BATCH_BYTES[device] // _bytes_of_a_step(first.autoencoder, first.n_rows, n_features))
            batch = [fit for fit in members[:most] if _have_the_same_steps(first, fit)]
            yield batch
            members = members[len(batch) :]


def _have_the_same_steps(first: Fit, fit: Fit) -> bool:
    """Whether fits have the same number of rows or, where the last row of a batch can be left out, one more."""
    if first.n_rows == fit.n_rows:
        return True
    network, autoencoder = first.autoencoder.network, first.autoencoder
    is_plain = not (getattr(network, "dropout", 0) or getattr(network, "tied_weights", False))
    n_batches = [-(-f.n_rows // f.autoencoder._schedule(f.n_rows, one_pass=False).batch_size) for f in (first, fit)]
    return (
        autoencoder._counts_each_row_alone
        and is_plain
        and getattr(network, "normalization", None) is None
        and autoencoder.precision == "float32"
        and fit.n_rows == first.n_rows + 1
        and n_batches[0] == n_batches[1]
    )


def _bytes_of_a_step(autoencoder: Any, n_rows: int, n_features: int) -> int:
    """Return about how many bytes a training step of one member reads and writes."""
    network = autoencoder._default_network() if autoencoder.network is None else autoencoder.network
    hidden = np.ravel(np.asarray(getattr(network, "hidden_layer_sizes", ()), dtype=object))
    # what is no integer is refused when the network is built
    widths = [n_features, *(int(size) for size in hidden if isinstance(size, Integral)), autoencoder.n_components]
    n_weights = 2 * sum(i * o for i, o in pairwise(widths))
    # weights, gradients and Adam's moments; activations and their gradients, of both halves
    batch_size = autoencoder._schedule(n_rows, one_pass=False).batch_size
    return int(4 * (4 * n_weights + 4 * batch_size * sum(widths)))


@in_own_modes(inference=False)
def _train_batch(fits: Sequence[Fit]) -> None:
    autoencoders = [fit.autoencoder for fit in fits]
    first = autoencoders[0]
    device = resolve_device(first.device)
    rows, index = _rows_and_index(fits)
    seeds = [seed_from(autoencoder.random_state) for autoencoder in autoencoders]
    networks, scales, layouts = [], [], []
    for (autoencoder, X, numbers), seed in zip(fits, seeds, strict=True):
        summary = autoencoder._summarize(X if numbers is None else X[numbers], autoencoder._given_layout)
        layouts.append(summary.layout)
        networks.append(autoencoder._build_network(summary, seed).to(device))
        scales.append(autoencoder._loss_scale(summary.scale))
    network = stack_networks(networks)
    objective = first._make_objective(network, fits[0].X, None)
    # float32 might not hold the square of a scale
    dtype = torch.float32 if device.type == "mps" else torch.float64
    objective.loss_scale = torch.tensor(scales, dtype=dtype, device=device)
    schedule = replace(
        first._schedule(index.shape[1], one_pass=False),
        learning_rate_init=tuple(autoencoder.learning_rate_init for autoencoder in autoencoders),
        alpha=tuple(autoencoder.alpha for autoencoder in autoencoders),
    )
    history, table = History(), Table.of_numbers(rows.shape[1])

    def set_fitted_attributes() -> None:
        unstack_networks(network, networks)
        for k, autoencoder in enumerate(autoencoders):
            own = history.of_member(k)
            fitted = autoencoder._fitted_attributes(networks[k].eval(), layouts[k], seeds[k], scales[k], own)
            autoencoder.__dict__.update(fitted, n_features_in_=rows.shape[1], _table=table)

    try:
        with training_precision(device, first.precision):
            train(
                objective,
                Rows(rows, None, device, index=torch.from_numpy(index).to(device)),
                schedule,
                [first._training_seed(seed) for seed in seeds],
                history=history,
                shuffle=first.shuffle,
                verbose=bool(first.verbose),
            )
    except KeyboardInterrupt:
        if history.best is not None:
            history.best.restore(network)
            set_fitted_attributes()
        raise
    set_fitted_attributes()


def _rows_and_index(fits: Sequence[Fit]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows that hold those of all fits, and where those of each are, (K, n), -1 for none at the end."""
    distinct = list({id(fit.X): fit.X for fit in fits}.values())
    starts = dict(zip(map(id, distinct), np.cumsum([0, *map(len, distinct[:-1])]), strict=True))
    index = [starts[id(fit.X)] + (np.arange(len(fit.X)) if fit.rows is None else fit.rows) for fit in fits]
    n_rows = max(map(len, index))
    table = np.stack([np.pad(own, (0, n_rows - len(own)), constant_values=-1) for own in index])
    rows = distinct[0] if len(distinct) == 1 else np.concatenate(distinct, dtype=np.float32, casting="same_kind")
    return rows, table


# ---- fits of a search ----------------------------------------------------------------------------------------


class TrainingPlan(NamedTuple):
    """What an estimator's fit would train."""

    key: str  # identifies it among the plans on the same rows
    X: np.ndarray  # rows of the fit, checked
    model: Any  # what the fit uses instead of training
    fits: list[Fit]  # of which the model consists
    estimator: Any  # the one that plans; it keeps alive what the key identifies


class TrainedModels:
    """Models planned and trained before the fits that need them, which look them up."""

    def __init__(self) -> None:
        self.plans: dict[tuple[str, str], TrainingPlan] = {}  # by their keys and the hashes of their rows
        self._rows: dict[str, np.ndarray] = {}  # by their hashes; plans share them

    def add(self, plan: TrainingPlan) -> None:
        """Add a plan, unless there is the same already."""
        hashed = _hash(plan.X)
        X = self._rows.setdefault(hashed, plan.X)
        fits = [fit._replace(X=X) if fit.X is plan.X else fit for fit in plan.fits]
        self.plans.setdefault((plan.key, hashed), plan._replace(X=X, fits=fits))

    def train(self) -> None:
        """Train what can be batched."""
        fits = [fit for plan in self.plans.values() for fit in plan.fits]
        train_batched([fit for fit in fits if can_be_batched(fit.autoencoder)])

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let fits find their models here."""
        token = _trained_models.set(self)
        try:
            yield
        finally:
            _trained_models.reset(token)


_trained_models: ContextVar[TrainedModels | None] = ContextVar("trained_models", default=None)


def find_fitted(estimator: Any, X: np.ndarray, leave_out: Sequence[str] = ()) -> Any:
    """Return the model that a search has trained for an estimator's fit on X, or None."""
    models = _trained_models.get()
    if models is None:
        return None
    plan = models.plans.get((fit_key(estimator, leave_out), _hash(X)))
    if plan is not None and all(fit.autoencoder.__sklearn_is_fitted__() for fit in plan.fits):
        return plan.model
    logger.info("A %s is not among the models trained in a batch: it is trained now.", type(estimator).__name__)
    return None


def _hash(rows: np.ndarray) -> str:
    return joblib.hash(np.ascontiguousarray(rows))  # a pipeline's memory may have stored them in another order
