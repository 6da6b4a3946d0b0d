"""Rows that an autoencoder reconstructs badly are outliers."""

from __future__ import annotations

import warnings
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.validation import (
    _check_y,
    check_consistent_length,
    check_is_fitted,
    check_memory,
    validate_data,
)

from skae.estimators import BaseAutoEncoder, StackedAutoEncoderClassifier
from skae.estimators.fitted import FLOATS, check_rows
from skae.estimators.together import training_key
from skae.outliers.cache import train
from skae.outliers.ensemble import ErrorEnsemble
from skae.outliers.errors import MEASURES, make_measure
from skae.outliers.members import Members
from skae.outliers.threshold import threshold_rule
from skae.random import derived_seeds, entropy_from

HOLD_OUT = 1  # key of its random numbers beside the autoencoder's own


@dataclass(repr=False, eq=False)
class AutoEncoderOutlierDetector(OutlierMixin, CallbackSupportMixin, BaseEstimator):
    """Outlier and novelty detection by reconstruction error.

    An autoencoder learns what most rows have in common; a row that it reconstructs with an error above the
    threshold is an outlier [1]_. The contract is that of `sklearn.ensemble.IsolationForest`: `predict` gives +1 for
    inliers and -1 for outliers, ``decision_function(X) == score_samples(X) - offset_`` is negative for outliers.

    Parameters
    ----------
    autoencoder : autoencoder or None, default=None
        Any autoencoder of this package, unfitted; it is cloned and trained on all rows. None stands for an ensemble
        that needs no tuning and no scaling of the columns: without ``novelty`` of autoencoders that store few rows
        each and so hardly learn outliers; with it a denoising network is among them. The user guide says more.
    novelty : bool, default=False
        False: the training rows may hold outliers, and y is ignored. True: they are normal, except those that y,
        where given, labels -1, which are left out of training.
    error : {"auto", "squared_error", "absolute_error", "whitened"}, default="auto"
        What is measured. "auto" is the autoencoder's own error, minus its ``score_samples``: its ``loss``, of a
        variational autoencoder the negative evidence lower bound; where ``autoencoder`` is None, the ensemble's
        error, in standard deviations above typical training rows. The others are means over the features of the
        residuals between a row and its reconstruction: "whitened" is their squared Mahalanobis norm by the residuals
        of the training rows, which lets features count that are always reconstructed well. Where rows are hardly more
        than features, hold some out for the threshold.
    threshold : float or str, default="auto"
        Error above which a row is an outlier: a number, or a rule over the errors of the training rows:
        "mean+1*std", "median+3*mad" (``mad`` is the median absolute deviation), "mean", "median", "2*median". "auto"
        follows ``contamination``.
    contamination : float in (0, 0.5] or "auto", default="auto"
        Share of the training rows to call outliers; sets the threshold to that quantile of their errors. "auto"
        is the rule "mean+3*std" with ``novelty``, else "median+5*mad", which outliers in the training rows
        cannot drag along.
    calibration_fraction : float in (0, 1) or None, default=None
        Share of the rows, drawn at random, that do not train: the threshold is set on their errors, and `p_values`
        compares with them [2]_. None sets the threshold on the errors of the training rows, so that all rows train.
        Those are smaller than new rows' errors where rows are few and the network is large: hold some out then.
    n_estimators : int, default=1
        Number of clones of ``autoencoder``, whose errors are averaged.
    max_samples : int or float in (0, 1], default=1.0
        Rows that each clone is trained on, drawn without replacement: their number or their share. Clones of few rows
        hardly learn outliers.
    memory : str, joblib.Memory or None, default=None
        Cache of trained autoencoders, as in `sklearn.pipeline.Pipeline`: with it, a search over ``threshold``,
        ``contamination`` or ``error`` trains once a fold. (To search both give two grids, ``[{"threshold": [...]},
        {"contamination": [...]}]``: only one of them can be set.)
    random_state : int, RandomState instance or None, default=None
        Seed of the training and of the rows held out; None leaves the training to the autoencoder's own
        ``random_state``.

    Attributes
    ----------
    autoencoder_ : estimator
        The fitted autoencoder; where ``autoencoder`` is None, the ensemble, which has `score_samples` and
        `reconstruct`.
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
    .. [2] S. Bates, E. Candes, L. Lei, Y. Romano and M. Sesia, "Testing for outliers with conformal p-values",
       Annals of Statistics 51, 2023.

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
    error: str = "auto"
    threshold: float | str = "auto"
    contamination: float | str = "auto"
    calibration_fraction: float | None = None
    n_estimators: int = 1
    max_samples: float = 1.0
    memory: Any = None
    random_state: Any = None

    _parameter_constraints: ClassVar[dict] = {
        "autoencoder": [BaseAutoEncoder, None],
        "novelty": ["boolean"],
        "error": [StrOptions({*MEASURES, "whitened"})],
        "threshold": [Interval(Real, None, None, closed="neither"), str],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "calibration_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "max_samples": [Interval(Integral, 1, None, closed="left"), Interval(RealNotInt, 0, 1, closed="right")],
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
        threshold_rule(self.threshold, self.contamination, self.novelty)  # raises before any training
        autoencoder = self._unfitted_autoencoder()
        context = self._init_callback_context(max_subtasks=1)
        earlier = dict(vars(self))
        try:
            X = validate_data(self, X, dtype=FLOATS)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            X_train, X_held_out = self._split(self._normal_rows(X, y))
            cached = check_memory(self.memory).cache(train, ignore=["autoencoder", "caller", "context"])
            subcontext = context.subcontext(task_name="fit-autoencoder")
            try:
                # the parameters are this detector's own, whichever fit filled the cache
                autoencoder.__dict__.update(cached(training_key(autoencoder), X_train, autoencoder, self, subcontext))
            finally:
                # fitted to the end, or with the best weights before an interruption
                if autoencoder.__sklearn_is_fitted__():
                    measure = make_measure(self.error, autoencoder, X_train)
                    errors = np.sort(measure.errors(X_train if X_held_out is None else X_held_out))
                    self._set_threshold(errors)  # which may not like them, and leaves the earlier state then
                    self._errors, self._held_out = errors, X_held_out is not None
                    self.autoencoder_, self._measure = autoencoder, measure
        except BaseException as error:
            if vars(self).get("autoencoder_") is earlier.get("autoencoder_"):
                self.__dict__.clear()
                self.__dict__.update(earlier)
                if isinstance(error, KeyboardInterrupt):
                    error.add_note(f"The {type(self).__name__} is left as it was.")
            raise
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def set_threshold(self, threshold="auto", contamination="auto"):
        """Set the threshold of a fitted detector anew; nothing is trained and no row is needed.

        Parameters
        ----------
        threshold : float or str, default="auto"
            As the parameter of the same name, whose place it takes.
        contamination : float or "auto", default="auto"
            As the parameter of the same name, whose place it takes.

        Returns
        -------
        self : object
            The detector.

        Raises
        ------
        ValueError
            If they are not valid or both set the threshold; nothing has changed then.
        """
        check_is_fitted(self)
        earlier = {"threshold": self.threshold, "contamination": self.contamination}
        self.set_params(threshold=threshold, contamination=contamination)
        try:
            self._validate_params()
            self._set_threshold(self._errors)
        except ValueError:
            self.set_params(**earlier)
            raise
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
        rows = self._check_rows(X)
        return -self._measure.errors(rows)

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

    def p_values(self, X):
        """Return the probability that a normal row has an error as large as each row's: split-conformal p-values.

        ``scipy.stats.false_discovery_control(p_values)`` adjusts them: rows where it gives 0.1 or less hold about 10 %
        normal ones, if the held-out rows are normal ones, drawn like those of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that the detector was not fitted on.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            Between 1 / (m + 1) and 1, where m rows were held out.

        Raises
        ------
        ValueError
            If no rows were held out: errors of training rows are too small to compare with.
        """
        rows = self._check_rows(X)
        if not self._held_out:
            raise ValueError(
                "p_values compares with rows that did not train, and there are none: set calibration_fraction=0.2, "
                "say, and fit again."
            )
        n_larger = len(self._errors) - np.searchsorted(self._errors, self._measure.errors(rows))
        return (1 + n_larger) / (1 + len(self._errors))

    def explain(self, X):
        """Return what each feature adds to the error of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; a DataFrame's index is kept.

        Returns
        -------
        contributions : DataFrame of shape (n_samples, n_features)
            A row's sum is its error, minus its `score_samples`. Reshape a row of pixels or times to see the map or
            curve of the error. The ensemble's error is shared out in proportion to the squared differences from the
            nearest training rows and from the denoised row; the parts of a "whitened" error may be negative.

        Raises
        ------
        ValueError
            If ``error="auto"`` is a variational autoencoder's bound, which does not belong to single features.

        See Also
        --------
        skae.plotting.ExplanationDisplay : Draws a row of it.
        """
        rows = self._check_rows(X)
        contributions = self._measure.contributions(rows)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(rows.shape[1])])
        return pd.DataFrame(contributions, columns=names, index=X.index if isinstance(X, pd.DataFrame) else None)

    def reconstruct(self, X):
        """Return what the autoencoder makes of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features)
            Reconstructions. The ensemble's are its network's or, without ``novelty``, the mean of the
            nearest training rows.
        """
        rows = self._check_rows(X)
        return self.autoencoder_.reconstruct(rows)

    def _check_rows(self, X) -> np.ndarray:
        check_is_fitted(self)
        return check_rows(self, X)

    def _split(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the rows to train on and those held out, if any."""
        if self.calibration_fraction is None:
            return X, None
        n_held_out = round(self.calibration_fraction * len(X))
        if not 0 < n_held_out < len(X):
            raise ValueError(
                f"calibration_fraction={self.calibration_fraction} of {len(X)} rows leaves no row to "
                f"{'train on' if n_held_out else 'calibrate on'}: change it or set it to None."
            )
        (seed,) = derived_seeds(entropy_from(self.random_state), HOLD_OUT)
        order = np.random.default_rng(seed).permutation(len(X))
        return X[order[n_held_out:]], X[order[:n_held_out]]

    def _unfitted_autoencoder(self) -> Any:
        autoencoder: Any
        # the integer 1 is one row
        as_is = self.n_estimators == 1 and self.max_samples == 1 and not isinstance(self.max_samples, Integral)
        if self.autoencoder is None:
            if not as_is:
                raise ValueError(
                    f"n_estimators={self.n_estimators} and max_samples={self.max_samples} are for a given autoencoder; "
                    "the ensemble that autoencoder=None stands for has its own members."
                )
            autoencoder = ErrorEnsemble(not self.novelty)
        elif isinstance(self.autoencoder, StackedAutoEncoderClassifier):
            raise ValueError(
                "autoencoder is a StackedAutoEncoderClassifier, which learns classes and reconstructs nothing: give a "
                "StackedAutoEncoder."
            )
        else:
            autoencoder = clone(self.autoencoder)
            if not as_is:
                autoencoder = Members(autoencoder, self.n_estimators, self.max_samples)
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
                f"y has the labels {np.unique(y)[:5]} and no -1: all rows are trained on as normal ones. Outliers are "
                "to be labelled -1, normal rows 1: where 1 stands for outliers, give np.where(y == 1, -1, 1).",
                UserWarning,
                stacklevel=4,
            )
        if outlier.all():
            raise ValueError("y labels every row -1: with novelty=True no row is left to train on.")
        return X[~outlier] if outlier.any() else X

    def _set_threshold(self, errors: np.ndarray) -> None:
        self.threshold_ = threshold_rule(self.threshold, self.contamination, self.novelty)(errors)
        self.offset_ = -self.threshold_
