"""What every autoencoder shares. Think twice before adding anything here: a subclass overrides two hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass
from functools import partial
from inspect import cleandoc
from math import nan
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import (
    _fit_context,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import validate_data
from torch import Tensor

from skae.contracts import Network, Objective, RowSummary
from skae.device import resolve_device
from skae.estimators.callbacks import CallbackListener
from skae.estimators.documentation import SHARED_ATTRIBUTES, SHARED_PARAMETERS
from skae.estimators.fitted import FLOATS, FittedAutoEncoder
from skae.estimators.together import postponed_fit
from skae.inference import too_large_message
from skae.networks import DenseNetwork, build_from_callable
from skae.objectives import LOSSES, ReconstructionObjective
from skae.precision import PRECISIONS, training_precision
from skae.random import RandomStreams, derived_seeds, entropy_from, isolated_torch_random
from skae.training import History, Rows, Schedule, auto_batch_size, summarize, train

INITIAL_WEIGHTS, SPLIT, TRAINING = range(3)


@dataclass(repr=False, eq=False)
class BaseAutoEncoder(CallbackSupportMixin, FittedAutoEncoder):
    """Base of all autoencoders: parameters, training, codes, reconstructions, errors.

    The fields are the constructor's parameters. Subclasses are dataclasses too: they add fields, extend
    ``_parameter_constraints`` and override `_training_target` or `_make_objective`; ``{shared_parameters}`` and
    ``{shared_attributes}`` in their docstrings stand for what is documented here.
    """

    n_components: int = 32
    _: KW_ONLY
    hidden_layer_sizes: Any = (128, 64)
    activation: str = "relu"
    network: Any = None
    loss: str = "squared_error"
    alpha: float = 0.0
    batch_size: int | str = "auto"
    learning_rate: str = "cosine"
    learning_rate_init: float = 4e-3
    max_iter: int = 100
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    warm_start: bool = False
    device: str = "auto"
    precision: str = "float32"
    random_state: Any = None
    verbose: bool = False

    _set_before_training: ClassVar[tuple[str, ...]] = ("n_features_in_", "feature_names_in_")
    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": DenseNetwork._parameter_constraints["activation"],
        "network": [HasMethods("build"), callable, None],
        "loss": [StrOptions(set(LOSSES))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"cosine", "constant", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
        "precision": [StrOptions({*PRECISIONS})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__doc__:
            doc = cleandoc(cls.__doc__)
            doc = doc.replace("{shared_parameters}", SHARED_PARAMETERS.strip())
            cls.__doc__ = doc.replace("{shared_attributes}", SHARED_ATTRIBUTES.strip())

    # ---- hooks ---------------------------------------------------------------------------------------------

    def _training_target(self, X: np.ndarray, y) -> np.ndarray | None:
        """Return what rows are to be reconstructed as, X's shape, or None for X itself."""
        return None

    def _training_labels(self, X: np.ndarray, y) -> np.ndarray | None:
        """Return each row's class number, -1 where unknown, or None where labels play no part."""
        return None

    def _default_network(self) -> DenseNetwork:
        """Return the specification that ``network=None`` stands for."""
        return DenseNetwork(self.hidden_layer_sizes, self.activation)

    def _build_network(self, rows: RowSummary, entropy: int) -> Network:
        """Return the network to train, initialised, on the CPU."""
        return self._build_from_specification(rows, self.n_components, entropy)

    def _make_objective(self, network: Network, X: np.ndarray, target: np.ndarray | None) -> Objective:
        """Return what the network is trained for."""
        return ReconstructionObjective(network, LOSSES[self.loss])

    def _loss_unit(self, scale: float) -> float:
        """Return the size of the objective's loss on rows of a given scale."""
        return LOSSES[self.loss].unit(scale)

    def _rows_to_train(self, X: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Return the numbers of the rows that the objective can learn from."""
        return np.arange(len(X))

    def _can_be_stacked(self) -> bool:
        """Return whether the objective takes a stack of networks, each with rows of its own, and nothing else of X."""
        return False

    def _pretrain(self, network: Network, X: np.ndarray, held_out: Tensor | None, entropy: int) -> None:
        """Change a new network's weights, on the device, before `fit` trains it.

        ``held_out``, (1, m), are the rows kept for early stopping. Fitted attributes set here are taken back if the
        fit fails and leaves the earlier state, where ``_set_before_training`` names them.
        """

    # ---- training ------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the autoencoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Unless the class says otherwise.

        Returns
        -------
        self : object
            The fitted autoencoder.

        Raises
        ------
        ValueError
            If a parameter or X is not valid; nothing has changed then.
        FloatingPointError
            If the loss becomes infinite or NaN. Like a KeyboardInterrupt, it leaves the best weights so far,
            or the earlier state if no epoch was finished; a note on the exception says which.
        """
        continued = self.warm_start and self.__sklearn_is_fitted__()
        context = self._init_callback_context(max_subtasks=self.max_iter)
        with self._earlier_state_kept_on_failure():
            X, target, labels = self._check_training_data(X, y, reset=not continued)
            together = postponed_fit(self, X, alone=target is not None or labels is not None)
            data = {"X": X, "y": X if y is None else y}  # an autoencoder's target is its input
            context.call_on_fit_task_begin(estimator=self, **data)
            if together is not None:
                self.__dict__.update(together)
            else:
                self._train(X, target, labels, continued, partial(CallbackListener, self, context, data))
        context.call_on_fit_task_end(estimator=self, **data, reconstruction_attributes=dict)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one pass over some rows, at a constant learning rate, from where the last call ended.

        No rows are held out and the callbacks are not called.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Unless the class says otherwise of `fit`.

        Returns
        -------
        self : object
            The fitted autoencoder.
        """
        continued = self.__sklearn_is_fitted__()
        with self._earlier_state_kept_on_failure():
            X, target, labels = self._check_training_data(X, y, reset=not continued)
            self._train(X, target, labels, continued)
        return self

    def _check_training_data(self, X, y, reset: bool) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return the rows, their targets and their labels, all valid."""
        X = validate_data(self, X, reset=reset, dtype=FLOATS)
        target = self._training_target(X, y)
        for name, rows in (("X", X), ("y", target)):
            if rows is not None:
                if (largest := max(-rows.min(), rows.max())) > np.finfo(np.float32).max:
                    raise ValueError(too_large_message(name, largest))
                self._check_range(name, rows)
        return X, target, self._training_labels(X, y)

    def _schedule(self, n_samples: int, one_pass: bool) -> Schedule:
        return Schedule(
            batch_size=auto_batch_size(n_samples) if isinstance(self.batch_size, str) else self.batch_size,
            max_iter=1 if one_pass else self.max_iter,
            learning_rate="constant" if one_pass else self.learning_rate,
            learning_rate_init=(self.learning_rate_init,),
            alpha=(self.alpha,),
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            stops_on_stall=self.early_stopping or self.learning_rate == "adaptive",
        )

    def _build_from_specification(self, rows: RowSummary, n_components: int, entropy: int) -> Network:
        """Build what ``network`` stands for, on the CPU whatever torch's default device."""
        seeds = derived_seeds(entropy, INITIAL_WEIGHTS)
        logits = self.loss == "binary_cross_entropy"
        with torch.device("cpu"), torch.autocast("cpu", enabled=False):
            if self._network_is_callable():
                return build_from_callable(self.network, rows.n_features, n_components, seeds[0], logits)
            if isinstance(self.network, type):
                name = self.network.__name__
                raise ValueError(f"network={name} is a class: give one of its instances, {name}(...).")
            specification = self._default_network() if self.network is None else self.network
            return specification.build(rows, n_components, RandomStreams(seeds), logits)

    def _network_is_callable(self) -> bool:
        return self.network is not None and not hasattr(self.network, "build")

    def _split(self, rows: Tensor, entropy: int) -> tuple[Tensor, Tensor | None]:
        """Return the rows to train on and, with early stopping, those held out, each (1, n)."""
        if not self.early_stopping:
            return rows, None
        n = rows.shape[1]
        share = self.validation_fraction * n
        if share < 1 or n - share < 1:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {n} rows leaves no row to "
                f"{'validate' if share < 1 else 'train'} on: change it or set early_stopping=False."
            )
        shuffled = rows.gather(1, RandomStreams(derived_seeds(entropy, SPLIT), rows.device).permutation(n))
        return shuffled[:, int(share) :], shuffled[:, : int(share)]

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _train(self, X, target, labels, continued: bool, make_listener: Callable | None = None) -> None:
        """Train a new network, or the fitted one on, and set the fitted attributes.

        Without a listener this is one pass of `partial_fit`, which keeps the optimizer's state for the next.
        """
        one_pass = make_listener is None
        device = resolve_device(self.device)
        entropy = self._entropy if continued else entropy_from(self.random_state)
        n_earlier = self.n_iter_ if continued else 0
        if not continued:
            rows = summarize(X)
            self._warn_of_coarse_columns(rows)
            unit = self._loss_unit(rows.scale)
            network = self._build_network(rows, entropy)
        elif self.n_components == self._n_components:
            unit, network = self._unit, self._network
        else:
            raise ValueError(
                f"n_components={self.n_components} differs from the {self._n_components} of the fitted network. "
                "Set warm_start=False and call fit to train a new one."
            )
        every_row = torch.from_numpy(self._rows_to_train(X, labels)).to(device).unsqueeze(0)
        index, validation_index = (every_row, None) if one_pass else self._split(every_row, entropy)
        objective = self._make_objective(network.to(device), X, target)
        objective.unit = unit
        history = History(optimizer_states=self._optimizer_states if continued and one_pass else [])
        earlier: tuple[list[float], list[float]] = ([], [])
        if continued:
            earlier = self.loss_curve_, self.validation_loss_curve_ or [nan] * n_earlier

        def fitted_attributes() -> dict:
            return self._fitted_attributes(network, entropy, unit, history, earlier, one_pass)

        seed = self._training_seed(entropy)
        try:
            isolated = isolated_torch_random(seed + n_earlier, device) if self._network_is_callable() else nullcontext()
            with isolated, training_precision(device, self.precision):
                if not (continued or one_pass):
                    self._pretrain(network, X, validation_index, entropy)
                train(
                    objective,
                    Rows(X, target, device, labels),
                    index,
                    self._schedule(index.shape[1], one_pass),
                    [seed],
                    history=history,
                    validation_index=validation_index,
                    first_epoch=n_earlier,
                    listener=None if make_listener is None else make_listener(fitted_attributes),
                    verbose=bool(self.verbose),
                )
        except (KeyboardInterrupt, FloatingPointError) as error:
            if not history.best_epoch:
                error.add_note(f"No epoch was finished: the {type(self).__name__} is left as it was.")
                raise
            self.__dict__.update(fitted_attributes())
            error.add_note(
                f"The {type(self).__name__} is fitted: it has the weights of epoch {self.best_epoch_}, its best."
            )
            raise
        self.__dict__.update(fitted_attributes())

    def _fitted_attributes(
        self,
        network: Network,
        entropy: int,
        unit: float,
        history: History,
        earlier: tuple[list[float], list[float]] = ([], []),
        one_pass: bool = False,
    ) -> dict:
        """Return what makes this a fitted autoencoder; ``earlier`` are the losses of the fits that were continued."""
        n_earlier = len(earlier[0])
        held_out = [float(loss[0]) for loss in history.validation_losses] or [nan] * len(history.losses)
        held_out = earlier[1] + held_out
        return {
            "_network": network,
            "_entropy": entropy,
            "_n_components": self.n_components,
            "_unit": unit,
            "_optimizer_states": history.optimizer_states if one_pass else [],
            "loss_curve_": earlier[0] + [float(loss[0]) for loss in history.losses],
            "validation_loss_curve_": None if np.isnan(held_out).all() else held_out,
            "best_epoch_": n_earlier + history.best_epoch,
            "n_iter_": n_earlier + len(history.losses),
        }

    def _training_seed(self, entropy: int) -> int:
        return derived_seeds(entropy, TRAINING)[0]

    def _warn_of_coarse_columns(self, rows: RowSummary) -> None:
        if rows.coarse_columns:
            warnings.warn(
                f"Columns {list(rows.coarse_columns)} of X vary too little, so far from 0, for float32, in which "
                "networks compute: their codes and errors are rounded. Centre them first (StandardScaler).",
                UserWarning,
                stacklevel=7,
            )

    @contextmanager
    def _earlier_state_kept_on_failure(self) -> Iterator[None]:
        """Put attributes that come before training back where a fit fails without having set a new state."""
        names = self._set_before_training
        earlier = {name: vars(self)[name] for name in names if name in vars(self)}
        earlier_curve = vars(self).get("loss_curve_")
        try:
            yield
        except BaseException:
            if vars(self).get("loss_curve_") is earlier_curve:
                for name in names:
                    self.__dict__.pop(name, None)
                self.__dict__.update(earlier)
            raise
