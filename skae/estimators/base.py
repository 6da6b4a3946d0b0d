"""The training that all estimators of this package share. Think twice before adding anything here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin

from skae._compat import fit_context, in_own_modes
from skae.device import resolve_device
from skae.distributed import current_processes
from skae.estimators.batched_training import Fit, TrainingPlan, find_fitted
from skae.estimators.fit_key import check_agreement, fit_key
from skae.estimators.fitted import adopt_state, fitted_state
from skae.estimators.preparation import PreparesTraining, TrainingData
from skae.estimators.progress import FitProgress, SavedFit
from skae.estimators.transaction import transaction
from skae.interfaces import Network, Objective
from skae.precision import training_precision
from skae.random import (
    derived_seeds,
    seed_from,
    set_torch_generators,
    torch_generator_states,
    with_torch_seed,
)
from skae.tables import TableLayout, is_streamed, read_rows, read_stream
from skae.training import History, Rows, RowStream, StreamedRows, train

TRAINING = 2  # purpose of the seeds, in addition to those of the preparation


@dataclass(repr=False, eq=False)
class NetworkEstimator(CallbackSupportMixin, PreparesTraining):
    """Base of all estimators that train one network.

    Subclasses are dataclasses too: they add fields, extend ``_parameter_constraints`` and override hooks.
    """

    # Declares that the objective takes several networks, each with its own rows, and needs nothing else of X.
    _can_be_batched: ClassVar[bool] = False
    # Declares that the loss of a row depends on no other one and on no random number: a batch may have a row too many.
    _counts_each_row_alone: ClassVar[bool] = False
    _set_by_pretraining: ClassVar[tuple[str, ...]] = ()  # attributes that `_pretrain` sets

    # ---- hooks ---------------------------------------------------------------------------------------------

    def _make_objective(self, network: Network, X: Any, target: np.ndarray | None) -> Objective:
        """Return what the network is trained for; X is an array or a `RowStream`."""
        raise NotImplementedError

    def _loss_scale(self, scale: float) -> float:
        """Return the size of the objective's loss on rows of a given scale."""
        return 1.0

    def _pretrain(self, network: Network, X: np.ndarray | RowStream, held_out: np.ndarray | None, seed: int) -> None:
        """Change a new network's weights, on the device, before `fit` trains it.

        ``held_out``, (n_samples,), says which rows are kept for early stopping.
        """

    # ---- training ------------------------------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the autoencoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Training rows. A `numpy.memmap` larger than ``max_memory``, a `pyarrow.dataset.Dataset` and an object that
            can be iterated over again and again, in batches of rows, are streams: they are read as they are needed.
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
            If the loss becomes infinite or NaN. Like a KeyboardInterrupt, it leaves the best weights so far, or the
            earlier state if no epoch was finished. Any other exception leaves the earlier state. A note on the
            exception says which.
        """
        continued = self.warm_start and self.__sklearn_is_fitted__()
        with transaction(self, model="_network"):
            context = self._init_callback_context(max_subtasks=self.max_iter)
            data = self._check_training_data(X, y, reset=not continued)
            # an autoencoder's target is its input
            task = {"estimator": self, "X": X, "y": X if y is None else y}
            progress = FitProgress(self, data.X, data.target, data.labels, self.loss_curve_ if continued else [])
            context.call_on_fit_task_begin(**task, metadata=progress.describe)
            saved = progress.saved
            if saved is not None and not continued:
                seed_from(self.random_state)  # so that a RandomState moves on as in a fit from the start
            is_plain = data.target is data.labels is data.layout is None
            fitted = find_fitted(self, data.X) if is_plain and isinstance(data.X, np.ndarray) else None
            if saved is not None and saved.history is None:
                fitted = saved.estimator
            if fitted is not None:
                adopt_state(self, fitted_state(fitted) | {"_table": self._table})
            else:
                self._train(data, continued, one_pass=False, callbacks=(context, task), saved=saved)
            context.call_on_fit_task_end(**task, reconstruction_attributes=dict)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one pass over some rows, at a constant learning rate, from where the last call ended.

        No rows are held out and the callbacks are not called. The first call takes the location and scale of the
        columns from its rows. Otherwise calls on one mini-batch each do what one epoch of `fit` does with
        ``shuffle=False`` and ``learning_rate="constant"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Training rows, as in `fit`.
        y : Ignored
            Unless the class says otherwise of `fit`.

        Returns
        -------
        self : object
            The fitted autoencoder.
        """
        continued = self.__sklearn_is_fitted__()
        with transaction(self, model="_network"):
            data = self._check_training_data(X, y, reset=not continued)
            self._train(data, continued, one_pass=True)
        return self

    def _check_training_data(self, X, y, reset: bool) -> TrainingData:
        """Return the rows, their targets and their labels, all valid."""
        check_agreement(self, X, current_processes())
        X, layout = self._read_rows(X, reset)
        target = self._training_target(X, y)
        labels = self._training_labels(X, y)
        if isinstance(X, RowStream) and not (target is labels is None) and X.is_shared_out:
            raise ValueError("rows='same' of data_parallel cannot share out a stream with a y: give shards of both.")
        self._check_values(X, target)
        return TrainingData(X, target, labels, layout)

    def _read_rows(self, X, reset: bool) -> tuple[np.ndarray | RowStream, TableLayout | None]:
        """Return the cells of X and their layout, None for numbers without holes; set the table."""
        given = self._given_layout
        features = getattr(self, "categorical_features", None) if given is None else None
        takes_tables = self._takes_tables() if reset else self._takes_holes
        known = None if reset else self._table
        cells: np.ndarray | RowStream
        if is_streamed(X, self.max_memory):
            table, cells = read_stream(self, X, known, features, takes_tables)
        else:
            table, cells = read_rows(self, X, known, features, takes_tables, may_be_empty=given is not None)
        if not reset:
            return cells, self._layout
        if any(table.n_levels) and not takes_tables:
            self._refuse(table)
        self._table = table
        return cells, given or table.layout(cells, self._needs_all_flags)

    def _rows(self, data: TrainingData, held_out: np.ndarray | None, device: torch.device) -> Rows | StreamedRows:
        can_learn = self._can_learn_from(data)
        if isinstance(data.X, RowStream):
            stream = data.X if can_learn is None else data.X.only(can_learn)
            return StreamedRows(stream, data.target, device, data.labels, held_out=held_out)
        chosen = np.ones(len(data.X), dtype=bool) if can_learn is None else can_learn
        index, held_out_index = chosen, None
        if held_out is not None:
            index, held_out_index = chosen & ~held_out, torch.from_numpy(np.flatnonzero(held_out)).to(device)[None]
        return Rows(
            data.X,
            data.target,
            device,
            data.labels,
            index=torch.from_numpy(np.flatnonzero(index)).to(device)[None],
            held_out=held_out_index,
            processes=current_processes(),
        )

    @in_own_modes(inference=False)
    def _train(
        self,
        data: TrainingData,
        continued: bool,
        one_pass: bool,
        callbacks: tuple[Any, dict] | None = None,
        saved: SavedFit | None = None,
    ) -> None:
        """Train a new network, or a copy of the fitted one, and set the fitted attributes.

        ``one_pass`` is `partial_fit`, which keeps the optimizer's state for the next call. ``callbacks`` are the
        context of the fit and what scikit-learn's callbacks are told of each task, here an epoch. A fit that was
        ``saved`` goes on.
        """
        device, processes = resolve_device(self.device), current_processes()
        history = History(optimizer_states=self._optimizer_states if continued and one_pass else [])
        if continued:
            self._check_unchanged()
            network, layout = copy.deepcopy(self._network_for(data.X)), self._layout
            seed, loss_scale = self._seed, self._fitted_loss_scale
            earlier = self.loss_curve_, self.validation_loss_curve_ or [nan] * self.n_iter_
        else:
            seed = processes.first(seed_from(self.random_state)) if saved is None else saved.estimator._seed
            rows = self._summarize(data.X, data.layout)
            network, layout = self._build_network(rows, seed), rows.layout
            loss_scale, earlier = self._loss_scale(rows.scale), ([], [])
            if saved is not None:
                self.__dict__.update({name: vars(saved.estimator)[name] for name in self._set_by_pretraining})
        n_earlier = len(earlier[0])
        if saved is not None and saved.history is not None:
            history = saved.history
            network.load_state_dict(saved.estimator._network.state_dict())
        can_learn = self._can_learn_from(data)
        held_out = None if one_pass else processes.all_or_none(lambda: self._hold_out(data.X, can_learn, seed))
        objective = self._make_objective(network.to(device), data.X, data.target)
        objective.loss_scale = loss_scale

        fitted_attributes = partial(
            self._fitted_attributes, network, layout, seed, loss_scale, history, earlier, one_pass
        )
        training_seed = self._training_seed(seed)
        is_callable = self._network_is_callable()

        def begin_epoch() -> Callable[[], bool]:
            assert callbacks is not None
            context, task = callbacks
            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**task)
            reconstruction = lambda: fitted_attributes() | {"_history": history}  # noqa: E731

            def end_epoch() -> bool:
                if is_callable:
                    history.generator_states = torch_generator_states(device)
                return epoch.call_on_fit_task_end(**task, reconstruction_attributes=reconstruction)

            return end_epoch

        def train_network() -> None:
            with training_precision(device, self.precision):
                if not continued and not one_pass and saved is None:
                    self._pretrain(network, data.X, held_out, seed)
                rows = self._rows(data, held_out, device)
                set_torch_generators(device, history.generator_states)
                train(
                    objective,
                    rows,
                    self._schedule(rows.n_rows, one_pass),
                    [training_seed],
                    history=history,
                    shuffle=self.shuffle,
                    first_epoch=n_earlier,
                    begin_epoch=None if callbacks is None else begin_epoch,
                    verbose=bool(self.verbose),
                )

        try:
            if is_callable:
                with_torch_seed(training_seed + n_earlier, device, train_network)
            else:
                train_network()
            self.__dict__.update(fitted_attributes())
        except (KeyboardInterrupt, FloatingPointError) as error:
            if history.best is not None:
                history.best.restore(network.eval())
                self.__dict__.update(fitted_attributes())
                error.add_note(
                    f"The {type(self).__name__} is fitted: it has the weights of epoch {self.best_epoch_}, its best."
                )
            raise

    def _fitted_attributes(
        self,
        network: Network,
        layout: TableLayout | None,
        seed: int,
        loss_scale: float,
        history: History,
        earlier: tuple[list[float], list[float]] = ([], []),
        one_pass: bool = False,
    ) -> dict:
        """Return what makes this a fitted estimator; ``earlier`` are the losses of the fits that were continued."""
        n_earlier = len(earlier[0])
        losses = [float(loss[0]) for loss in history.losses]
        held_out = earlier[1] + ([float(loss[0]) for loss in history.validation_losses] or [nan] * len(losses))
        return {
            "_network": network,
            "_layout": layout,
            "_seed": seed,
            "_fixed": self._current_fixed(),
            "_fitted_loss_scale": loss_scale,
            "_optimizer_states": history.optimizer_states if one_pass else [],
            "loss_curve_": earlier[0] + losses,
            "validation_loss_curve_": None if np.isnan(held_out).all() else held_out,
            "best_epoch_": n_earlier + (0 if history.best is None else history.best.epoch),
            "n_iter_": n_earlier + len(losses),
        }

    def _training_seed(self, seed: int) -> int:
        return derived_seeds(seed, TRAINING)[0]

    def _plan_training(self, X, y) -> TrainingPlan | None:
        """Return what `fit` would train, if that can be batched with the training of others."""
        self._validate_params()
        data = clone(self)._check_training_data(X, y, reset=True)
        if not isinstance(data.X, np.ndarray) or not (data.target is data.labels is data.layout is None):
            return None
        return TrainingPlan(fit_key(self), data.X, self, [Fit(self, data.X)], self)
