"""Training of several autoencoders of one shape at once: many small networks cost little more than one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from itertools import groupby, pairwise
from operator import itemgetter
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
import torch

from skae._compat import in_own_modes
from skae.device import resolve_device
from skae.estimators.fit_key import fit_key
from skae.networks import DenseNetwork, stack_networks, unstack_networks
from skae.precision import training_precision
from skae.random import seed_from
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
    """Whether an unfitted autoencoder can be trained in a batch as it would be by itself.

    Members of a batch end together and share their epochs. So early stopping, adaptive learning rates and callbacks
    are not supported in a batch.
    """
    return (
        autoencoder._can_be_batched
        and type(autoencoder.network) in (DenseNetwork, NoneType)
        # it cancels biases: their gradients are rounding errors, of which Adam makes steps of full size
        and getattr(autoencoder.network, "normalization", None) != "batch"
        and not autoencoder.early_stopping
        and autoencoder.learning_rate != "adaptive"
        and not autoencoder.warm_start
        and not isinstance(autoencoder.random_state, np.random.RandomState)  # from which fits draw in turn
        and not getattr(autoencoder, "_skl_callbacks", None)
    )


def train_batched(fits: Sequence[Fit]) -> None:
    """Train autoencoders that can be batched, each as if by itself, up to rounding.

    A batch that fails, for example because a member diverges, leaves its members unfitted. When they are then trained
    one by one, the error comes from the member at fault. A KeyboardInterrupt leaves the best weights so far, if an
    epoch was finished.
    """
    for batch in _batches(fits):
        with suppress(Exception):
            _train_batch(batch)


def _batches(fits: Sequence[Fit]) -> Iterator[list[Fit]]:
    """Split fits into batches of one shape and number of rows, within `BATCH_BYTES`."""

    def shape(fit: Fit) -> tuple:
        key = fit_key(fit.autoencoder, MAY_DIFFER)
        return key, resolve_device(fit.autoencoder.device).type, fit.n_rows, fit.X.shape[1]

    ordered = sorted((shape(fit), i) for i, fit in enumerate(fits))
    for (_, device, n_rows, n_features), group in groupby(ordered, key=itemgetter(0)):
        members = [fits[i] for _, i in group]
        size = max(1, BATCH_BYTES[device] // _bytes_of_a_step(members[0].autoencoder, n_rows, n_features))
        for start in range(0, len(members), size):
            yield members[start : start + size]


def _bytes_of_a_step(autoencoder: Any, n_rows: int, n_features: int) -> int:
    """Return about how many bytes a training step of one member reads and writes."""
    network = autoencoder._default_network() if autoencoder.network is None else autoencoder.network
    widths = [n_features, *np.atleast_1d(np.asarray(network.hidden_layer_sizes, dtype=int)), autoencoder.n_components]
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
    networks, scales = [], []
    for fit, seed in zip(fits, seeds, strict=True):
        summary = fit.autoencoder._summarize(fit.X if fit.rows is None else fit.X[fit.rows])
        networks.append(fit.autoencoder._build_network(summary, seed).to(device))
        scales.append(fit.autoencoder._loss_scale(summary.scale))
    network = stack_networks(networks)
    objective = first._make_objective(network, fits[0].X, None)
    # float32 might not hold the square of a scale
    dtype = torch.float32 if device.type == "mps" else torch.float64
    objective.loss_scale = torch.tensor(scales, dtype=dtype, device=device)
    schedule = replace(
        first._schedule(fits[0].n_rows, one_pass=False),
        learning_rate_init=tuple(autoencoder.learning_rate_init for autoencoder in autoencoders),
        alpha=tuple(autoencoder.alpha for autoencoder in autoencoders),
    )
    history = History()

    def set_fitted_attributes() -> None:
        unstack_networks(network, networks)
        for k, autoencoder in enumerate(autoencoders):
            own = history.of_member(k)
            fitted = autoencoder._fitted_attributes(networks[k].eval(), seeds[k], scales[k], own)
            autoencoder.__dict__.update(fitted, n_features_in_=rows.shape[1])

    try:
        with training_precision(device, first.precision):
            train(
                objective,
                Rows(rows, None, device),
                torch.from_numpy(index).to(device),
                schedule,
                [first._training_seed(seed) for seed in seeds],
                history=history,
                verbose=bool(first.verbose),
            )
    except KeyboardInterrupt:
        if history.best is not None:
            history.best.restore(network)
            set_fitted_attributes()
        raise
    set_fitted_attributes()


def _rows_and_index(fits: Sequence[Fit]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows that hold those of all fits, and where those of each are, (K, n)."""
    distinct = list({id(fit.X): fit.X for fit in fits}.values())
    starts = dict(zip(map(id, distinct), np.cumsum([0, *map(len, distinct[:-1])]), strict=True))
    index = [starts[id(fit.X)] + (np.arange(len(fit.X)) if fit.rows is None else fit.rows) for fit in fits]
    if len(distinct) == 1:
        return distinct[0], np.stack(index)
    return np.concatenate(distinct, dtype=np.float32, casting="same_kind"), np.stack(index)


# ---- fits of a search ----------------------------------------------------------------------------------------


class TrainingPlan(NamedTuple):
    """What an estimator's fit would train."""

    key: str  # identifies it among the plans on the same rows
    X: np.ndarray  # rows of the fit, checked
    model: Any  # what the fit uses instead of training
    fits: list[Fit]  # of which the model consists
    estimator: Any  # the one that plans; it keeps alive what the key identifies

    @property
    def is_done(self) -> bool:
        """Whether all has been trained."""
        return all(fit.autoencoder.__sklearn_is_fitted__() for fit in self.fits)


class TrainedModels:
    """Models planned and trained before the fits that need them, which look them up."""

    def __init__(self) -> None:
        self._plans: dict[str, list[TrainingPlan]] = {}
        self._rows: list[np.ndarray] = []  # distinct ones, which plans share

    def add(self, plan: TrainingPlan) -> None:
        """Add a plan, unless there is the same already."""
        X = next((rows for rows in self._rows if same_rows(rows, plan.X)), None)
        if X is None:
            X = plan.X
            self._rows.append(X)
        plans = self._plans.setdefault(plan.key, [])
        if not any(known.X is X for known in plans):
            fits = [fit._replace(X=X) if fit.X is plan.X else fit for fit in plan.fits]
            plans.append(plan._replace(X=X, fits=fits))

    def train(self) -> None:
        """Train what can be batched."""
        fits = [fit for plans in self._plans.values() for plan in plans for fit in plan.fits]
        train_batched([fit for fit in fits if can_be_batched(fit.autoencoder)])

    def find(self, key: str, X: np.ndarray) -> Any:
        """Return the model for a plan's key and rows, or None."""
        return next((p.model for p in self._plans.get(key, []) if p.is_done and same_rows(p.X, X)), None)

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
    model = models.find(fit_key(estimator, leave_out), X)
    if model is None:
        logger.info("A %s is not among the models trained in a batch: it is trained now.", type(estimator).__name__)
    return model


def same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal, their NaN included."""
    if a is b or a.shape != b.shape or a.dtype != b.dtype:
        return a is b
    equal_nan = a.dtype.kind in "fc"
    return all(np.array_equal(x, y, equal_nan=equal_nan) for x, y in ((a[:1], b[:1]), (a, b)))
