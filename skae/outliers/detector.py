"""Rows that an autoencoder reconstructs badly are outliers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_y,
    check_consistent_length,
    check_is_fitted,
    check_memory,
    validate_data,
)

from skae.estimators import BaseAutoEncoder, DenoisingAutoEncoder
from skae.outliers.cache import cache_key
from skae.outliers.threshold import parse_rule

AUTO_RULES = {True: "mean+3*std", False: "median+5*mad"}  # by novelty


@dataclass(repr=False, eq=False)
class AutoEncoderOutlierDetector(OutlierMixin, CallbackSupportMixin, BaseEstimator):
    """Outlier and novelty detection by reconstruction error.

    An autoencoder learns what most rows have in common; a row that it reconstructs with an error above the
    threshold is an outlier [1]_. The contract is that of `sklearn.ensemble.IsolationForest`: `predict` gives +1 for
    inliers and -1 for outliers, ``decision_function(X) == score_samples(X) - offset_`` is negative for outliers.

    Parameters
    ----------
    autoencoder : autoencoder or None, default=None
        Any autoencoder of this package, unfitted; it is cloned. None stands for
        ``DenoisingAutoEncoder(noise_level=0.5)``, which wants standardised columns.
    novelty : bool, default=False
        False: the training rows may hold outliers, and y is ignored. True: they are normal, except those that y,
        where given, labels -1, which are left out of training.
    threshold : float or str, default="auto"
        Error above which a row is an outlier, in the unit of the autoencoder's ``loss``: a number, or a rule over
        the errors of the training rows: "mean+1*std", "median+3*mad" (``mad`` is the median absolute deviation),
        "mean", "median", "2*median". "auto" follows ``contamination``.
    contamination : float in (0, 0.5] or "auto", default="auto"
        Share of the training rows to call outliers; sets the threshold to that quantile of their errors. "auto"
        is the rule "mean+3*std" with ``novelty``, else "median+5*mad", which outliers in the training rows
        cannot drag along.
    memory : str, joblib.Memory or None, default=None
        Cache of trained autoencoders, as in `sklearn.pipeline.Pipeline`: with it, a search over ``threshold`` or
        ``contamination`` trains once a fold. (To search both give two grids, ``[{"threshold": [...]},
        {"contamination": [...]}]``: only one of them can be set.)
    random_state : int, RandomState instance or None, default=None
        Seed of the training; None leaves it to the autoencoder's own ``random_state``.

    Attributes
    ----------
    autoencoder_ : autoencoder
        The fitted autoencoder.
    threshold_ : float
        Error above which a row is an outlier.
    offset_ : float
        Minus ``threshold_``, on the scale of `score_samples`.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has string column names.

    References
    ----------
    .. [1] S. Hawkins, H. He, G. Williams and R. Baxter, "Outlier detection using replicator neural networks",
       DaWaK 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer
    >>> X = np.random.default_rng(0).normal(size=(200, 1)) @ [[1.0, -1.0, 2.0]]
    >>> detector = AutoEncoderOutlierDetector(
    ...     AutoEncoderTransformer(1, random_state=0), novelty=True, threshold="mean+3*std"
    ... )
    >>> detector.fit(X).predict([[1.0, -1.0, 2.0], [1.0, 1.0, 2.0]])
    array([ 1, -1])
    """

    autoencoder: Any = None
    _: KW_ONLY
    novelty: bool = False
    threshold: float | str = "auto"
    contamination: float | str = "auto"
    memory: Any = None
    random_state: Any = None

    _parameter_constraints: ClassVar[dict] = {
        "autoencoder": [BaseAutoEncoder, None],
        "novelty": ["boolean"],
        "threshold": [Interval(Real, 0, None, closed="left"), str],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "memory": [str, HasMethods(["cache"]), None],
        "random_state": ["random_state"],
    }

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Train the autoencoder and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,), default=None
            With ``novelty``, rows labelled -1 are left out; ignored otherwise.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            If a parameter or X is not valid, or if no row is left to train on.
        FloatingPointError
            If training diverges. Like a KeyboardInterrupt, it leaves a detector over the best weights so far, or
            the earlier state if no epoch was finished.
        """
        threshold_of = self._threshold_rule()
        autoencoder = self._unfitted_autoencoder()
        context = self._init_callback_context(max_subtasks=1)
        earlier = dict(vars(self))
        try:
            X = validate_data(self, X, dtype=(np.float64, np.float32))
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            X_train = self._normal_rows(X, y)
            train = check_memory(self.memory).cache(_train, ignore=["autoencoder", "caller", "context"])
            subcontext = context.subcontext(task_name="fit-autoencoder")
            try:
                # the parameters are this detector's own, whichever fit filled the cache
                autoencoder.__dict__.update(train(cache_key(autoencoder), X_train, autoencoder, self, subcontext))
            finally:
                # fitted to the end, or with the best weights before an interruption
                if autoencoder.__sklearn_is_fitted__():
                    self._set_threshold(autoencoder, X_train, threshold_of)
        except BaseException:
            if vars(self).get("autoencoder_") is earlier.get("autoencoder_"):
                self.__dict__.clear()
                self.__dict__.update(earlier)
            raise
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def fit_predict(self, X, y=None):
        """Fit, and tell inliers from outliers among the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for inliers, -1 for outliers.
        """
        return self.fit(X, y).predict(X)

    def score_samples(self, X):
        """Return minus the error of each row; the lower, the more abnormal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        return self.autoencoder_.score_samples(X)

    def decision_function(self, X):
        """Return the threshold minus the error of each row: negative for outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        decision : ndarray of shape (n_samples,), float64
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Tell inliers from outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            +1 for inliers, -1 for outliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _threshold_rule(self) -> Callable[[np.ndarray], float]:
        """Return the function from training errors to the threshold."""
        contamination = self.contamination
        if not isinstance(contamination, str):
            if self.threshold != "auto":
                raise ValueError(
                    f"threshold={self.threshold!r} and contamination={contamination!r} both set the threshold: "
                    "leave one of them at 'auto'."
                )
            # the quantile of the scores, as IsolationForest takes it; minus turns scores into errors
            return lambda errors: -float(np.percentile(-errors, 100 * contamination))
        if isinstance(self.threshold, str):
            return parse_rule(AUTO_RULES[self.novelty] if self.threshold == "auto" else self.threshold)
        threshold = float(self.threshold)
        return lambda errors: threshold

    def _unfitted_autoencoder(self) -> BaseAutoEncoder:
        autoencoder = DenoisingAutoEncoder(noise_level=0.5) if self.autoencoder is None else clone(self.autoencoder)
        if self.random_state is not None:
            autoencoder.set_params(random_state=self.random_state)
        return autoencoder

    def _normal_rows(self, X: np.ndarray, y) -> np.ndarray:
        """Return the rows to train on."""
        if not self.novelty or y is None:
            return X
        y = _check_y(y)
        check_consistent_length(X, y)
        outlier = y == -1
        if not outlier.any() and (y != 1).any():
            warnings.warn(
                f"y has the labels {np.unique(y)[:5]} and no -1: all rows are trained on as normal ones. If 1 stands "
                "for outliers, give np.where(y == 1, -1, 1).",
                UserWarning,
                stacklevel=4,
            )
        if outlier.all():
            raise ValueError("y labels every row -1: with novelty=True no row is left to train on.")
        return X[~outlier] if outlier.any() else X

    def _set_threshold(self, autoencoder: BaseAutoEncoder, X: np.ndarray, threshold_of: Callable) -> None:
        self.autoencoder_ = autoencoder
        self.threshold_ = threshold_of(-autoencoder.score_samples(X))
        self.offset_ = -self.threshold_


def _train(key, X, autoencoder, caller, context) -> dict:
    """Fit an autoencoder within the caller's callback task; return its fitted state, cached by ``key`` and X alone."""
    with context.propagate_callback_context(autoencoder):
        context.call_on_fit_task_begin(estimator=caller, X=X)
        autoencoder.fit(X)
        context.call_on_fit_task_end(estimator=caller, X=X)
    parameters = autoencoder.get_params(deep=False)
    return {k: v for k, v in autoencoder.__getstate__().items() if k not in parameters and k != "_skl_callbacks"}
