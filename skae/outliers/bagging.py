"""Several autoencoders, each trained on its own rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin

from skae._compat import fit_context, warn_user
from skae.distributed import ALONE, Processes, alone, current_processes
from skae.estimators.batched_scoring import feature_errors_of_members, score_members
from skae.estimators.batched_training import Fit
from skae.estimators.fitted import adopt_state, fitted_state
from skae.estimators.parallel_training import train_in_workers
from skae.estimators.versioned import Versioned
from skae.outliers.errors import CHUNK_ROWS
from skae.outliers.scaling import ColumnScaler
from skae.random import derived_seeds, seed_from
from skae.tables import TableLayout

ROUNDED = 1e-5  # of scaled rows: a residual that may be nothing but rounding
CHUNK_VALUES = 2**22  # of each feature's errors by each member
MAX_MEASURED = 20_000  # training rows whose errors are measured


class Member(NamedTuple):
    """An autoencoder of a bag."""

    autoencoder: Any
    bag: int
    rows: np.ndarray  # numbers of those it is trained on


Function = Callable[[list[Member], np.ndarray], Iterable[np.ndarray]]  # to values by members of a bag, (m, n, ...)


class BaggedAutoEncoders(CallbackSupportMixin, Versioned):
    """Autoencoders trained on random rows; the error of a row is the mean of theirs or, of several bags, the largest.

    ``bags`` are unfitted autoencoders, each with the number of its clones and the rows of each clone, drawn without
    replacement: an integer is their number, at most all, a float their share. With ``scale_free`` columns may have any
    unit and members any size of error: members are trained on rows scaled by `ColumnScaler`, and their errors divided
    by the median of those on rows that they were not trained on.

    ``out_of_bag_errors_``, (n_samples,), are the errors of training rows over the members that were not trained on
    them, NaN where there are none, and for all but 20,000 evenly spaced rows; None if all were trained on all rows.
    """

    _parameter_constraints: ClassVar[dict] = {}  # the detector has checked them
    _doc_link_module = ""  # it has no page
    _given_layout: Any = None  # a TableLayout of X, where it has categories or holes
    _needs_all_flags = False  # members have layouts of their own

    def __init__(self, bags, scale_free=False, random_state=None):
        self.bags = bags
        self.scale_free = scale_free
        self.random_state = random_state

    def draw_fits(self, X: np.ndarray, processes: Processes = ALONE) -> list[Fit]:
        """Return new, unfitted members and the rows for each, the same in all processes."""
        own = self.bags[0][0].random_state if self.random_state is None else self.random_state
        seed, *seeds = derived_seeds(processes.first(seed_from(own)), n_members=1 + self._n_members)
        rng = np.random.default_rng(seed)
        layout = self._given_layout
        self._scaler = ColumnScaler(X, None if layout is None else layout.n_levels) if self.scale_free else None
        Z, fits, self._members = self.scale(X), [], []
        self._copies = _numbers_of_copies(Z)
        for bag, (unfitted, n_estimators, max_samples) in enumerate(self.bags):
            # members of few rows know the levels of all
            layout = layout and TableLayout.of_cells(Z, layout.n_levels, unfitted._needs_all_flags)
            is_number = isinstance(max_samples, Integral)
            if is_number and max_samples > len(X):
                warn_user(f"max_samples={max_samples} exceeds the {len(X)} rows: all are used.")
            n = min(max_samples, len(X)) if is_number else max(1, round(max_samples * len(X)))
            for _ in range(n_estimators):
                autoencoder: Any = clone(unfitted).set_params(random_state=seeds.pop(0) % 2**32)
                autoencoder._given_layout = layout
                order = rng.permutation(len(X))
                # all copies of a row or none, where most rows are taken
                rows = np.argsort(order[self._copies], kind="stable")[:n] if len(X) // 2 < n < len(X) else order[:n]
                self._members.append(Member(autoencoder, bag, rows))
                fits.append(Fit(autoencoder, Z, self._members[-1].rows))
            autoencoder._validate_params()
            autoencoder._check_training_data(Z, None, reset=True)
        return fits

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the members; an interruption keeps those that have been trained.

        Several processes, which have the same rows, train some of the members each.
        """
        context = self._init_callback_context(max_subtasks=self._n_members)
        context.call_on_fit_task_begin(estimator=self, X=X)
        processes = current_processes()
        with alone():
            self._fit_members(X, processes, context)
        context.call_on_fit_task_end(estimator=self, X=X)
        return self

    def _fit_members(self, X: np.ndarray, processes: Processes, context: Any) -> None:
        planned_for, fits = self.__dict__.pop("_planned", (None, []))
        if planned_for is not X:
            fits = self.draw_fits(X, processes)
        unfitted = [fit for fit in fits if not fit.autoencoder.__sklearn_is_fitted__()]
        own = unfitted[processes.rank :: processes.size]
        try:
            # callbacks need the epochs of each
            if not getattr(self, "_skl_callbacks", None):
                train_in_workers([fit for fit in own if not getattr(fit.autoencoder, "_skl_callbacks", None)])
            for autoencoder, Z, rows in own:
                if not autoencoder.__sklearn_is_fitted__():
                    fit_within(context.subcontext(task_name="fit-member"), self, autoencoder, Z[rows])
            if processes.size > 1:
                states = processes.gather([fitted_state(fit.autoencoder) for fit in own])
                for rank, of_rank in enumerate(states):
                    for fit, state in zip(unfitted[rank :: processes.size], of_rank, strict=True):
                        adopt_state(fit.autoencoder, state)
        except (KeyboardInterrupt, FloatingPointError) as error:
            n_fitted = len(self.autoencoders_)
            error.add_note(f"Of {len(fits)} members {n_fitted} are fitted, the others left out.")
            raise
        finally:
            if self.autoencoders_:
                self._measure_members(fits[0].X)

    def plan(self, X: np.ndarray) -> list[Fit]:
        """Return `draw_fits` of X, to be trained before `fit` is called."""
        self._planned = X, self.draw_fits(X)
        return self._planned[1]

    @property
    def _n_members(self) -> int:
        return sum(n_estimators for _, n_estimators, _ in self.bags)

    @property
    def _error_power(self) -> int | None:
        return None if self.scale_free else self.autoencoders_[0]._error_power

    @property
    def _rounded_residual(self) -> float | None:
        """Largest residual in X's units that may be nothing but rounding; None where X is not scaled."""
        return None if self._scaler is None else float(ROUNDED * self._scaler.scale.mean())

    @property
    def _rounded_error(self) -> float:
        """Largest error that may be nothing but rounding, beyond what `ErrorMeasure` knows of."""
        if not self.scale_free:
            return 0.0
        powers = [autoencoder._error_power for autoencoder in self.autoencoders_]
        return float(np.max(np.power(ROUNDED / 5, powers) / self._typical))

    @property
    def autoencoders_(self) -> list:
        """The fitted members, which take rows that `scale` has scaled."""
        return [member.autoencoder for member in self._fitted_members()]

    def scale(self, X: np.ndarray) -> np.ndarray:
        """Return the rows as the members take them."""
        return X if self._scaler is None else self._scaler.transform(X)

    # ---- errors --------------------------------------------------------------------------------------------

    def score_samples(self, X):
        """Return minus the error of each row, (n,)."""
        return self._score_checked(X)

    def _score_checked(self, X):
        return -np.concatenate([self._bag_means(_errors, Z, self._typical).max(0) for Z in self._chunks(X)])

    def feature_errors(self, X):
        """Return each feature's part of the error of each row, (n, n_features)."""
        return self._feature_errors_checked(X)

    def _feature_errors_checked(self, X):
        # those of all members are in memory at a time
        n_rows = max(1, CHUNK_VALUES // (self._n_members * X.shape[1]))
        parts = (self._of_worst_bag(_feature_errors, Z, self._typical) for Z in self._chunks(X, n_rows))
        return np.concatenate(list(parts))

    def reconstruct(self, X):
        """Return the mean reconstruction of each row, of several bags by that of the largest error, (n, n_features)."""
        return self._reconstruct_checked(X)

    def _reconstruct_checked(self, X):
        return np.concatenate([self._reconstruct(Z) for Z in self._chunks(X)]).astype(X.dtype)

    def reconstruct_out_of_bag(self, X: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return `reconstruct` of the training rows of these numbers by members that were not trained on them."""
        return self._reconstruct(self.scale(X), numbers)

    def _reconstruct(self, Z: np.ndarray, *numbers: np.ndarray) -> np.ndarray:
        means = self._of_worst_bag(self._votes, Z, np.ones_like(self._typical), *numbers)
        cells, votes = means[:, : Z.shape[1]], means[:, Z.shape[1] :]
        for j in self._categories:  # the level that most members have chosen
            n_levels = self._given_layout.n_levels[j]
            cells[:, j], votes = votes[:, :n_levels].argmax(1), votes[:, n_levels:]
        return cells if self._scaler is None else self._scaler.inverse_transform(cells)

    def _votes(self, members: list[Member], Z: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the reconstruction of each row and, for each level of each category, whether it is the one chosen."""
        levels = [(j, np.arange(self._given_layout.n_levels[j])) for j in self._categories]
        for member in members:
            cells = member.autoencoder._reconstruct_checked(Z)
            yield np.hstack([cells, *(cells[:, [j]] == levels_of_j for j, levels_of_j in levels)])[None]

    @property
    def _categories(self) -> list[int]:
        return [] if self._given_layout is None else self._given_layout.categories

    def _of_worst_bag(self, function: Function, Z: np.ndarray, *args: Any) -> np.ndarray:
        """Return `_bag_means` in the bag where each row's error is largest, (n, ...)."""
        means = self._bag_means(function, Z, *args)
        if len(means) == 1:
            return means[0]
        errors = self._bag_means(_errors, Z, self._typical, *args[1:])
        return means[np.nan_to_num(errors, nan=-1.0).argmax(0), np.arange(len(Z))]

    def _bag_means(
        self, function: Function, Z: np.ndarray, typical: Any, numbers: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the mean of a function of members and scaled rows over the members of each bag, (n_bags, n, ...).

        A member's values are divided by its number in ``typical``. ``numbers`` are those of Z among the training rows:
        members that were trained on a row or a copy of it are left out, which is NaN where none is left.
        """
        members, start = self._fitted_members(), 0
        sums: dict[int, Any] = {}
        counts: dict[int, Any] = {}
        for values in function(members, Z):
            some = members[start : start + len(values)]
            divisors = np.reshape(typical[start : start + len(values)], (-1, *[1] * (values.ndim - 1)))
            counted: Any = len(some)
            if numbers is not None:
                left_out = np.stack([self._left_out(numbers, member.rows) for member in some])  # (n_some, n)
                counted, values = left_out.sum(0), np.where(left_out.T, values.T, 0.0).T
            bag = some[0].bag
            sums[bag] = sums.get(bag, 0.0) + (values / divisors).sum(0)
            counts[bag], start = counts.get(bag, 0) + counted, start + len(some)
        with np.errstate(invalid="ignore"):
            return np.stack([(sums[bag].T / counts[bag]).T for bag in sums])

    def _left_out(self, numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether neither these training rows nor copies of them are among a member's rows."""
        return np.isin(self._copies[numbers], self._copies[rows], invert=True)

    def _measure_members(self, Z: np.ndarray) -> None:
        """Set the typical error of each member, 1 without ``scale_free``, and the errors of training rows."""
        fitted = self._fitted_members()
        typical, out_of_bag, training = np.ones(len(fitted)), None, None
        if self.scale_free or any(len(member.rows) < len(Z) for member in fitted):
            numbers = np.unique(np.linspace(0, len(Z) - 1, MAX_MEASURED).astype(int))
            errors = np.concatenate(list(_errors(fitted, Z[numbers])))
            for k, (autoencoder, _, rows) in enumerate(fitted if self.scale_free else []):
                left_out = errors[k][self._left_out(numbers, rows)]
                rounded = ROUNDED**autoencoder._error_power
                typical[k] = np.median(left_out) if np.median(left_out) > rounded else max(left_out.mean(), rounded)
            of_bags = np.flatnonzero(np.diff([member.bag for member in fitted])) + 1
            measured: Function = lambda members, Z: np.split(errors, of_bags)  # noqa: E731
            out_of_bag = np.full(len(Z), np.nan)
            # a row may have been left out by one bag only
            out_of_bag[numbers] = np.fmax.reduce(self._bag_means(measured, Z[numbers], typical, numbers))
            training = self._bag_means(measured, Z[numbers], typical).max(0)
            n_left_out = int((~np.isnan(out_of_bag)).sum())
            if 10 * n_left_out < len(numbers):
                warn_user(f"Only {n_left_out} of {len(numbers)} rows were left out by a member. Lower max_samples.")
            out_of_bag = out_of_bag if n_left_out else None
        # in one assignment: another thread may have the same model, of a search
        self.__dict__.update(_typical=typical, out_of_bag_errors_=out_of_bag, _training_errors=training)

    def _fitted_members(self) -> list[Member]:
        return [member for member in self._members if member.autoencoder.__sklearn_is_fitted__()]

    def _chunks(self, X: np.ndarray, n_rows: int = CHUNK_ROWS) -> Iterator[np.ndarray]:
        for start in range(0, len(X), n_rows):
            yield self.scale(X[start : start + n_rows])

    def __sklearn_is_fitted__(self) -> bool:
        return "_typical" in vars(self)


def _numbers_of_copies(Z: np.ndarray) -> np.ndarray:
    """Return a number for each row, the same for its copies, in the order of the rows.

    Each row has a number of its own where new rows will have copies too: some row makes up over a twentieth of all.
    """
    hashes = pd.util.hash_pandas_object(pd.DataFrame(Z), index=False)  # faster than np.unique of rows
    numbers, _ = pd.factorize(hashes)
    return numbers if np.bincount(numbers).max() <= 0.05 * len(Z) else np.arange(len(Z))


def _errors(members: list[Member], Z: np.ndarray) -> Iterator[np.ndarray]:
    for _, of_bag in groupby(members, lambda member: member.bag):
        for scores in score_members([member.autoencoder for member in of_bag], Z):
            yield np.where(np.isnan(scores), np.inf, -scores)


def _feature_errors(members: list[Member], Z: np.ndarray) -> Iterator[np.ndarray]:
    for _, of_bag in groupby(members, lambda member: member.bag):
        yield from feature_errors_of_members([member.autoencoder for member in of_bag], Z)


def fit_within(context, caller, estimator, X) -> None:
    """Fit an estimator as a task of the caller's fit, for callbacks."""
    with context.propagate_callback_context(estimator):
        context.call_on_fit_task_begin(estimator=caller, X=X)
        estimator.fit(X)
        context.call_on_fit_task_end(estimator=caller, X=X)


def train(key, X, model, caller, context) -> dict:
    """Fit a model; return its fitted state, which `joblib.Memory` keeps by ``key`` and X."""
    fit_within(context, caller, model, X)
    return fitted_state(model)
