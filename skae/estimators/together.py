"""Training of several autoencoders of one shape as one stack: many small networks cost little more than one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from itertools import groupby, pairwise
from operator import itemgetter
from types import FunctionType, NoneType
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator

from skae.device import resolve_device
from skae.networks import DenseNetwork, hand_out, joined
from skae.precision import training_precision
from skae.random import entropy_from
from skae.training import History, Rows, summarize, train

NOT_IN_KEY = ("device", "verbose")  # they change how a model is trained, not which
OF_A_MEMBER = ("random_state", "learning_rate_init", "alpha")  # in which the members of a stack may differ
STACK_BYTES = {"cpu": 2**23, "cuda": 2**31, "mps": 2**31}  # of a step; on a CPU what the caches hold


class Fit(NamedTuple):
    """An autoencoder to train."""

    autoencoder: Any  # unfitted
    X: np.ndarray  # checked
    rows: np.ndarray | None = None  # numbers of those of X to train on; None stands for all

    @property
    def n_rows(self) -> int:
        """Number of rows to train on."""
        return len(self.X) if self.rows is None else len(self.rows)


def training_key(autoencoder: BaseEstimator, leave_out: Sequence[str] = ()) -> tuple:
    """Return what tells trainings on the same rows apart.

    joblib knows functions by their names. Here they are known by their code, so that an edited network or corruption is
    trained anew and functions defined in other functions can be hashed.
    """
    parameters = autoencoder.get_params()
    left_out = {*NOT_IN_KEY, *leave_out}
    return type(autoencoder), {k: _by_code(v) for k, v in parameters.items() if k.split("__")[-1] not in left_out}


def _by_code(value: Any) -> Any:
    if isinstance(value, BaseEstimator):
        return type(value)  # its parameters are in the key by themselves
    if not isinstance(value, FunctionType):
        return value
    try:
        code: Any = inspect.getsource(value)
    except OSError:  # typed into a prompt
        code = value.__code__.co_code, value.__code__.co_consts
    enclosed = [_by_code(cell.cell_contents) for cell in value.__closure__ or ()]
    return code, enclosed, value.__defaults__


def can_be_stacked(autoencoder: Any) -> bool:
    """Whether an unfitted autoencoder can be trained in a stack as it would be alone.

    Members of a stack end together and their epochs are nobody's own, so that early stopping, adaptive learning rates
    and callbacks are for fits of one.
    """
    return (
        "_can_be_stacked" in vars(type(autoencoder))  # a subclass must say so anew
        and autoencoder._can_be_stacked()
        and type(autoencoder.network) in (DenseNetwork, NoneType)
        # which cancels biases, so that Adam makes steps of their gradients' rounding errors
        and getattr(autoencoder.network, "normalization", None) != "batch"
        and not autoencoder.early_stopping
        and autoencoder.learning_rate != "adaptive"
        and not autoencoder.warm_start
        and not isinstance(autoencoder.random_state, np.random.RandomState)  # which must be drawn from in turn
        and not getattr(autoencoder, "_skl_callbacks", None)
    )


def train_together(fits: Sequence[Fit]) -> None:
    """Train autoencoders that can be stacked, each as if it were alone but for rounding.

    A stack that fails, by diverging for example, leaves its members unfitted: trained alone, they tell which of them it
    was and why. A KeyboardInterrupt leaves them with the best weights so far, if an epoch was finished.
    """
    for stack in _stacks(fits):
        with suppress(Exception):
            _train_stack(stack)


def _stacks(fits: Sequence[Fit]) -> Iterator[list[Fit]]:
    """Split fits into stacks of one shape and number of rows, no larger than is good."""

    def shape(fit: Fit) -> tuple:
        key = joblib.hash(training_key(fit.autoencoder, OF_A_MEMBER))
        return key, resolve_device(fit.autoencoder.device).type, fit.n_rows, fit.X.shape[1]

    ordered = sorted((shape(fit), i) for i, fit in enumerate(fits))
    for (_, device, n_rows, n_features), group in groupby(ordered, key=itemgetter(0)):
        members = [fits[i] for _, i in group]
        size = max(1, STACK_BYTES[device] // _bytes_of_a_step(members[0].autoencoder, n_rows, n_features))
        for start in range(0, len(members), size):
            yield members[start : start + size]


def _bytes_of_a_step(autoencoder: Any, n_rows: int, n_features: int) -> int:
    """Return about how much memory a training step of one member walks through."""
    network = autoencoder._default_network() if autoencoder.network is None else autoencoder.network
    widths = [n_features, *np.atleast_1d(np.asarray(network.hidden_layer_sizes, dtype=int)), autoencoder.n_components]
    n_weights = 2 * sum(i * o for i, o in pairwise(widths))
    # weights, gradients and Adam's moments; activations and their gradients, of both halves
    batch_size = autoencoder._schedule(n_rows, one_pass=False).batch_size
    return int(4 * (4 * n_weights + 4 * batch_size * sum(widths)))


@torch.inference_mode(False)
@torch.enable_grad()
def _train_stack(fits: Sequence[Fit]) -> None:
    autoencoders = [fit.autoencoder for fit in fits]
    first = autoencoders[0]
    device = resolve_device(first.device)
    rows, index = _rows_and_index(fits)
    entropies = [entropy_from(autoencoder.random_state) for autoencoder in autoencoders]
    networks, units = [], []
    for fit, entropy in zip(fits, entropies, strict=True):
        summary = summarize(fit.X if fit.rows is None else fit.X[fit.rows])
        fit.autoencoder._warn_of_coarse_columns(summary)
        networks.append(fit.autoencoder._build_network(summary, entropy).to(device))
        units.append(fit.autoencoder._loss_unit(summary.scale))
    stack = joined(networks)
    objective = first._make_objective(stack, fits[0].X, None)
    # float32 might not hold the square of a scale
    objective.unit = torch.tensor(units, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    schedule = replace(
        first._schedule(fits[0].n_rows, one_pass=False),
        learning_rate_init=tuple(autoencoder.learning_rate_init for autoencoder in autoencoders),
        alpha=tuple(autoencoder.alpha for autoencoder in autoencoders),
    )
    history = History()

    def hand_out_fitted() -> None:
        hand_out(stack, networks)
        for k, (autoencoder, network) in enumerate(zip(autoencoders, networks, strict=True)):
            own = History([loss[k : k + 1] for loss in history.losses])
            own.best_epoch = 1 + int(np.argmin(own.losses))
            fitted = autoencoder._fitted_attributes(network.eval(), entropies[k], units[k], own)
            autoencoder.__dict__.update(fitted, n_features_in_=rows.shape[1])

    try:
        with training_precision(device, first.precision):
            train(
                objective,
                Rows(rows, None, device),
                torch.from_numpy(index).to(device),
                schedule,
                [first._training_seed(entropy) for entropy in entropies],
                history=history,
                verbose=bool(first.verbose),
            )
    except KeyboardInterrupt:
        if history.best_epoch:
            hand_out_fitted()
        raise
    hand_out_fitted()


def _rows_and_index(fits: Sequence[Fit]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows that hold those of all fits, and where those of each are, (K, n)."""
    distinct = list({id(fit.X): fit.X for fit in fits}.values())
    starts = dict(zip(map(id, distinct), np.cumsum([0, *map(len, distinct[:-1])]), strict=True))
    index = [starts[id(fit.X)] + (np.arange(len(fit.X)) if fit.rows is None else fit.rows) for fit in fits]
    if len(distinct) == 1:
        return distinct[0], np.stack(index)
    return np.concatenate(distinct, dtype=np.float32, casting="same_kind"), np.stack(index)


# ---- fits inside of other estimators' ----------------------------------------------------------------------


class Postponed(Exception):
    """The fit was written down instead of carried out."""


class Postponement:
    """Fits of autoencoders that are written down first, wherever they are called, and trained together then.

    A search runs all its fits twice: before `train` they end in `Postponed`, after it they find themselves done.
    """

    def __init__(self) -> None:
        self.fits: dict[str, list[Fit]] = {}  # by the hash of what tells trainings apart
        self.done = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Postpone fits, or after `train` answer them."""
        token = _postponement.set(self)
        try:
            yield
        finally:
            _postponement.reset(token)

    def train(self) -> None:
        """Train what has been written down."""
        self.done = True
        train_together([fit for fits in self.fits.values() for fit in fits])

    def meet(self, autoencoder: Any, X: np.ndarray) -> dict | None:
        """Write a fit down, or return the attributes that it would set, or None where it has to be carried out."""
        key = joblib.hash(training_key(autoencoder))
        known = next((fit for fit in self.fits.get(key, []) if _same(fit.X, X)), None)
        if self.done:
            if known is None or not known.autoencoder.__sklearn_is_fitted__():
                return None
            parameters = autoencoder.get_params(deep=False)
            return {k: v for k, v in vars(known.autoencoder).items() if k not in parameters}
        if known is None and can_be_stacked(autoencoder):
            seen = next((fit.X for fits in self.fits.values() for fit in fits if _same(fit.X, X)), X)
            self.fits.setdefault(key, []).append(Fit(autoencoder, seen))
        raise Postponed


_postponement: ContextVar[Postponement | None] = ContextVar("postponement", default=None)


def postponed_fit(autoencoder: Any, X: np.ndarray, alone: bool = False) -> dict | None:
    """Return the attributes that a fit sets if it has been trained with others already.

    ``alone`` says that it is not to be trained with others, whatever its parameters.

    Raises
    ------
    Postponed
        If fits are written down.
    """
    postponement = _postponement.get()
    if postponement is None:
        return None
    if not alone:
        return postponement.meet(autoencoder, X)
    if postponement.done:
        return None
    raise Postponed


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a[0], b[0]) and np.array_equal(a, b))
