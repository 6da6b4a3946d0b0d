"""Rows that an autoencoder reconstructs badly are outliers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin
from sklearn.utils.validation import check_is_fitted, check_memory

from skae._compat import HasMethods, Interval, RealNotInt, StrOptions, available_unless, fit_context
from skae.distributed import current_processes
from skae.estimators import BaseAutoEncoder
from skae.estimators.batched_training import Fit, TrainingPlan, find_fitted
from skae.estimators.fit_key import cache_key, fit_key
from skae.estimators.fitted import adopt_state
from skae.estimators.parameters import CATEGORICAL_CONSTRAINTS, SharedParameters
from skae.estimators.transaction import transaction
from skae.outliers.bagging import BaggedAutoEncoders, fit_within, train
from skae.outliers.default import unfitted_model
from skae.outliers.errors import MEASURES, cached_errors, make_measure
from skae.outliers.fitted import FittedDetector
from skae.outliers.rows import hold_out, normal_rows, read_table
from skae.outliers.threshold import threshold_rule
from skae.training import RowStream, in_memory

logger = logging.getLogger(__name__)

NOT_TRAINED = ("threshold", "contamination", "error", "memory")  # parameters that training does not depend on


class Training(NamedTuple):
    """A model, and the rows that it is trained and its threshold set on."""

    model: Any
    X_train: np.ndarray | RowStream
    X_held_out: np.ndarray | None  # None: the threshold is set on the errors of the training rows


def _refuse_novelty(detector: AutoEncoderOutlierDetector) -> None:
    if detector.novelty:
        raise AttributeError(
            "fit_predict is not available with novelty=True, which takes training rows for normal: call "
            "fit(X).predict(X_new), or set novelty=False."
        )


@dataclass(repr=False, eq=False)
class AutoEncoderOutlierDetector(CallbackSupportMixin, FittedDetector):
    """Outlier and novelty detection by reconstruction error.

    An autoencoder learns what most rows have in common; a row that it reconstructs with an error above the
    threshold is an outlier [1]_. The contract is that of `sklearn.ensemble.IsolationForest`: `predict` gives +1 for
    inliers and -1 for outliers, ``decision_function(X) == score_samples(X) - offset_`` is negative for outliers.

    Parameters
    ----------
    autoencoder : autoencoder or None, default=None
        Any autoencoder of this package, unfitted; clones of it are trained. None is for tables, whose columns may have
        any unit: denoising autoencoders, each trained on some of the rows and most of them with a
        `skae.networks.MemoryNetwork`. A row's error is the mean of theirs, each divided by its usual error on rows that
        it was not trained on; of members of few and of more rows the larger mean. The user guide says more.
    novelty : bool, default=False
        False: the training rows may hold outliers, and y is ignored. True: they are normal, except those that y,
        where given, labels -1, which are left out of training.
    error : {"auto", "squared_error", "absolute_error", "whitened"}, default="auto"
        What is measured. "auto" is the autoencoder's own error, minus its ``score_samples``: its ``loss``, of a
        variational autoencoder the negative evidence lower bound. The others are means over the features of the
        residuals between a row and its reconstruction: "whitened" is their squared Mahalanobis norm by the residuals
        of the training rows, so that features count that are always reconstructed well. Where there are hardly more
        rows than features, hold some out for the threshold.
    threshold : float or str, default="auto"
        Error above which a row is an outlier: a number, or a rule over the errors of the training rows:
        "mean+1*std", "median+3*mad", "mean", "median", "2*median". ``mad`` is the median absolute deviation. Where it
        is 0, as with binary columns, 0.8453 times the mean absolute deviation replaces it. "auto" follows
        ``contamination``. Under these rules the error of a training row is the mean of those clones' that were not
        trained on it [3]_, where there are any.
    contamination : float in (0, 0.5] or "auto", default="auto"
        Share of the training rows above the threshold, a quantile of their errors or of those held out. With
        ``novelty`` these are the errors that rules take, so that it is the share of new normal rows too. Without it
        they are those of all clones: `predict` calls just this share of the training rows outliers. "auto" is the rule
        "mean+2.25*std" with ``novelty``, else "mean+1*std", but at most a tenth of the training rows; in both, gross
        errors count as less, so that they do not hide others.
    categorical_features : "from_dtype", array-like of str, int or bool, or None, default="from_dtype"
        Columns of X that are categories, as in `skae.DenoisingAutoEncoder`; "from_dtype" is what a given autoencoder
        has. Any column may have missing values, which add nothing to a row's error.
    calibration_fraction : float in (0, 1) or None, default=None
        Share of the rows, drawn at random, that are held out of training: the threshold is set on their errors, and
        `p_values` compares with them [2]_. For a single network whose errors on its training rows are smaller than on
        new ones, as where rows are few and the network is large.
    n_estimators : int or "auto", default="auto"
        Number of clones, whose errors are averaged. "auto" is 1; where ``autoencoder`` is None, 5 with ``novelty`` and
        up to 100 without. Workers that `joblib.parallel_config` asks for train a share of them each.
    max_samples : int, float in (0, 1] or "auto", default="auto"
        Rows that each clone is trained on, drawn without replacement: a number or a share. Clones of few rows hardly
        learn outliers. "auto" is all rows for a single clone, else 0.8; where ``autoencoder`` is None, 0.8 with
        ``novelty``, at most 25,600 rows, and without it 16 rows and, for half of the clones where there are 256, 64.
    memory : str, joblib.Memory or None, default=None
        Cache of trained autoencoders and of the errors of rows, as in `sklearn.pipeline.Pipeline`: with it, a search
        over ``threshold``, ``contamination`` or ``error`` trains once for each fold, and scores it once for each
        ``error``.
    max_memory : float or "auto", default="auto"
        MiB that rows may take which are read as they are needed, as in `skae.AutoEncoderTransformer`. Of such rows
        several clones are trained on some, at most 100,000, drawn at random, and the threshold is set on the errors of
        such rows.
    random_state : int, RandomState instance or None, default=None
        Seed of the training and of the rows held out; None leaves the training to the autoencoder's own
        ``random_state``.

    Attributes
    ----------
    autoencoder_ : estimator
        The fitted autoencoder. Of several clones a bag, which has `score_samples`, `reconstruct`, the list
        ``autoencoders_`` of fitted clones and ``out_of_bag_errors_``, NaN for rows that all were trained on.
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
    .. [3] B. Kim, C. Xu and R. F. Barber, "Predictive inference is free with the jackknife+-after-bootstrap",
       NeurIPS 2020.

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
    categorical_features: Any = "from_dtype"
    calibration_fraction: float | None = None
    n_estimators: int | str = "auto"
    max_samples: float | str = "auto"
    memory: Any = None
    max_memory: float | str = "auto"
    random_state: Any = None

    _parameter_constraints: ClassVar[dict] = {
        "autoencoder": [BaseAutoEncoder, None],
        "novelty": ["boolean"],
        "error": [StrOptions({*MEASURES})],
        "threshold": [Interval(Real, None, None, closed="neither"), str],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "categorical_features": list(CATEGORICAL_CONSTRAINTS),
        "calibration_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "n_estimators": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_samples": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
        ],
        "memory": [str, HasMethods(["cache"]), None],
        "max_memory": SharedParameters._parameter_constraints["max_memory"],
        "random_state": ["random_state"],
    }

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Train the autoencoder and set the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a stream of rows
            Training rows. Streams are those of `skae.AutoEncoderTransformer.fit`.
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
            the earlier state if no epoch was finished. Any other exception leaves the earlier state. A note on the
            exception says which.
        """
        threshold_rule(self.threshold, self.contamination, self.novelty)  # raises before any training
        with transaction(self, model="autoencoder_"):
            context = self._init_callback_context(max_subtasks=1)
            rows = read_table(self, X)
            # scorers of a callback need labels: all rows are taken for normal
            callback_data = {"X": X, "y": np.broadcast_to(1, len(rows)) if y is None else y}
            context.call_on_fit_task_begin(estimator=self, **callback_data)
            X_normal = normal_rows(rows, y if self.novelty else None)
            known = find_fitted(self, X_normal, NOT_TRAINED) if isinstance(X_normal, np.ndarray) else None
            training = known or self._prepare(X_normal)
            try:
                if not training.model.__sklearn_is_fitted__():
                    self._train(training, context)
            except (KeyboardInterrupt, FloatingPointError):
                if training.model.__sklearn_is_fitted__():  # with the best weights so far
                    self.__dict__.update(self._fitted_attributes(training))
                raise
            self.__dict__.update(self._fitted_attributes(training))
            context.call_on_fit_task_end(estimator=self, **callback_data, reconstruction_attributes=dict)
        return self

    def set_threshold(self, threshold="auto", contamination="auto"):
        """Set the threshold of a fitted detector; nothing is trained and no rows are needed.

        Parameters
        ----------
        threshold : float or str, default="auto"
            New value of the parameter of the same name.
        contamination : float or "auto", default="auto"
            New value of the parameter of the same name.

        Returns
        -------
        self : object
            The detector.

        Raises
        ------
        ValueError
            If they are not valid, or both set the threshold; nothing has changed then.
        """
        check_is_fitted(self)
        with transaction(self, model="threshold_"):
            self.set_params(threshold=threshold, contamination=contamination)
            self._validate_params()
            self.__dict__.update(self._threshold_attributes(vars(self)))
        return self

    @available_unless(_refuse_novelty)
    def fit_predict(self, X, y=None):
        """Fit, and tell inliers from outliers among the training rows; not available with ``novelty``.

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

    # ---- training ------------------------------------------------------------------------------------------

    def _prepare(self, X: np.ndarray | RowStream) -> Training:
        X_train, X_held_out = hold_out(X, self.calibration_fraction, self.random_state)
        model = unfitted_model(self, *X_train.shape)
        if isinstance(model, BaggedAutoEncoders) and isinstance(X_train, RowStream):
            X_train = X_train.sample
            model = unfitted_model(self, *X_train.shape)
        model._given_layout = self._table.layout(X_train, model._needs_all_flags)
        return Training(model, X_train, X_held_out)

    def _train(self, training: Training, context) -> None:
        """Train the model, or take it from the cache if there is a key that identifies it."""
        model = training.model
        key = None if isinstance(training.X_train, RowStream) else cache_key(model)
        subcontext = context.subcontext(task_name="fit-autoencoder")
        if key is None:
            if self.memory is not None and isinstance(training.X_train, np.ndarray):
                logger.info("%s holds code that a key cannot identify for certain: it is not cached.", self.autoencoder)
            fit_within(subcontext, self, model, training.X_train)
            return
        cached = check_memory(self.memory).cache(train, ignore=["model", "caller", "context"])
        key = joblib.hash((key, self._table.n_levels))
        adopt_state(model, cached(key, training.X_train, model, self, subcontext))

    def _fitted_attributes(self, training: Training) -> dict:
        model, X_train, X_held_out = training
        fit_id, rows, processes = None, in_memory(X_train), current_processes()
        key = None if self.memory is None or isinstance(X_train, RowStream) else cache_key(model)
        if key is not None:
            states = [member._network.state_dict() for member in getattr(model, "autoencoders_", [model])]
            # an interrupted fit has the key of a complete one, but not its weights
            weights = [tensor.numpy(force=True) for state in states for tensor in state.values()]
            fit_id = joblib.hash((key, weights, self.error, X_train))
        measure = make_measure(self.error, model, rows)
        is_bag = getattr(model, "out_of_bag_errors_", None) is not None
        if is_bag and X_held_out is None:
            errors, training_errors = measure.out_of_bag_errors(rows), measure.training_errors(rows)
        else:
            errors = cached_errors(self.memory, fit_id, rows if X_held_out is None else X_held_out, measure)
            training_errors = errors
        errors, training_errors = processes.first((errors, training_errors))
        fitted = {"_measure": measure, "_errors": np.sort(errors), "_training_errors": np.sort(training_errors)}
        fitted["_novelty"] = self.novelty
        return {
            "autoencoder_": model,
            "_fit_id": fit_id,
            "_of_new_rows": is_bag or X_held_out is not None,
            **fitted,
            **self._threshold_attributes(fitted),
        }

    def _threshold_attributes(self, fitted: Mapping[str, Any]) -> dict:
        novelty = fitted["_novelty"]
        errors = fitted["_errors" if novelty or isinstance(self.contamination, str) else "_training_errors"]
        rule = threshold_rule(self.threshold, self.contamination, novelty)
        threshold = rule(errors, fitted["_measure"].resolution)
        return {"threshold_": threshold, "offset_": -threshold}

    def _plan_training(self, X, y) -> TrainingPlan | None:
        """Return what `fit` would train, if that can be batched with the training of others."""
        self._validate_params()
        planned = clone(self)
        X_normal = normal_rows(read_table(planned, X), y if self.novelty else None)
        if not isinstance(X_normal, np.ndarray):
            return None
        training = planned._prepare(X_normal)
        if training.model._given_layout is not None:
            return None
        if isinstance(training.model, BaggedAutoEncoders):
            fits = training.model.plan(training.X_train)
        else:
            training.model._validate_params()
            data = training.model._check_training_data(training.X_train, None, reset=True)
            fits = [Fit(training.model, data.X)]
        return TrainingPlan(fit_key(self, NOT_TRAINED), X_normal, training, fits, self)
