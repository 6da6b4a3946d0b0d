"""Several autoencoders of one kind, each trained on its own rows."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin

from skae._compat import fit_context, warn_user
from skae.estimators.batched_training import Fit, can_be_batched, train_batched
from skae.outliers.training import fit_within
from skae.random import derived_seeds, seed_from


class BaggedAutoEncoders(CallbackSupportMixin, BaseEstimator):
    """Clones of an autoencoder, trained on random rows, whose errors are averaged.

    Parameters
    ----------
    autoencoder : autoencoder
        Unfitted.
    n_estimators : int
        Number of clones.
    max_samples : int or float
        Rows for each, drawn without replacement: a number, at most all, or a share.
    random_state : int, RandomState instance or None, default=None
        Seed of the rows and of the clones; None takes the autoencoder's.
    """

    _parameter_constraints: ClassVar[dict] = {}  # the detector has checked them

    def __init__(self, autoencoder, n_estimators, max_samples, random_state=None):
        self.autoencoder = autoencoder
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.random_state = random_state

    def draw_fits(self, X: np.ndarray) -> list[Fit]:
        """Return unfitted clones and the rows for each; this estimator keeps the clones."""
        own = self.autoencoder.random_state if self.random_state is None else self.random_state
        seed, *seeds = derived_seeds(seed_from(own), n_members=1 + self.n_estimators)
        rng = np.random.default_rng(seed)
        absolute = isinstance(self.max_samples, Integral)
        if absolute and self.max_samples > len(X):
            warn_user(f"max_samples={self.max_samples} exceeds the {len(X)} rows: all are used.")
        n = min(self.max_samples, len(X)) if absolute else max(1, round(self.max_samples * len(X)))
        autoencoders: list[Any] = [clone(self.autoencoder).set_params(random_state=s % 2**32) for s in seeds]
        autoencoders[0]._validate_params()
        autoencoders[0]._check_training_data(X, None, reset=True)
        self._members = autoencoders
        return [Fit(autoencoder, X, rng.permutation(len(X))[:n]) for autoencoder in autoencoders]

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the clones; an interruption keeps those that have been trained."""
        context = self._init_callback_context(max_subtasks=self.n_estimators)
        context.call_on_fit_task_begin(estimator=self, X=X)
        fits = self.draw_fits(X)
        try:
            # callbacks need the epochs of each
            if not getattr(self, "_skl_callbacks", None) and can_be_batched(fits[0].autoencoder):
                train_batched(fits)
            for autoencoder, _, rows in fits:
                if not autoencoder.__sklearn_is_fitted__():
                    fit_within(context.subcontext(task_name="fit-member"), self, autoencoder, X[rows])
        except (KeyboardInterrupt, FloatingPointError) as error:
            n_fitted = len(self.autoencoders_)
            error.add_note(f"Of {self.n_estimators} members {n_fitted} are fitted, the others left out.")
            raise
        context.call_on_fit_task_end(estimator=self, X=X)
        return self

    @property
    def autoencoders_(self) -> list:
        """The fitted clones."""
        return [autoencoder for autoencoder in self._members if autoencoder.__sklearn_is_fitted__()]

    @property
    def _error_power(self) -> int | None:
        return self.autoencoders_[0]._error_power

    def _score_checked(self, X):
        """Return the mean of the clones' scores of rows that the detector has checked, (n,)."""
        return np.mean([autoencoder._score_checked(X) for autoencoder in self.autoencoders_], axis=0)

    def score_samples(self, X):
        """Return the mean of the clones' scores, (n,)."""
        return self._score_checked(X)

    def reconstruct(self, X):
        """Return the mean of the clones' reconstructions, (n, n_features)."""
        return np.mean([autoencoder.reconstruct(X) for autoencoder in self.autoencoders_], axis=0)

    def feature_errors(self, X):
        """Return each feature's part of the error of each row, (n, n_features)."""
        return np.mean([autoencoder.feature_errors(X) for autoencoder in self.autoencoders_], axis=0)

    def __sklearn_is_fitted__(self) -> bool:
        return "_members" in vars(self) and bool(self.autoencoders_)
