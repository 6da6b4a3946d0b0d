"""Search for hyper-parameters, the autoencoders of a search trained as one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import _safe_split, available_if

from skae.estimators.together import Postponed, Postponement


class StackedSearchCV(GridSearchCV):
    """Exhaustive search like `sklearn.model_selection.GridSearchCV`, which trains many small networks as one stack.

    Folds of one size are trained together, for all candidates whose networks have one shape: candidates that differ in
    ``learning_rate_init``, ``alpha``, ``random_state`` or in what is not the autoencoder's (a detector's
    ``threshold``) share a stack; others have stacks of their own, in which their folds train. The same weights come out
    as from training one by one, but for rounding. Where ``cv`` does not divide the rows, folds have two sizes and need
    two stacks.

    The estimator may be an autoencoder, an `AutoEncoderOutlierDetector` of one, or a pipeline with either: its earlier
    steps are fitted twice, to find out what the autoencoder is trained on. Autoencoders that cannot be stacked are
    trained one by one, as `GridSearchCV` would: the convolutional, recurrent, stacked, conditional and adversarial
    ones, networks of one's own or with batch normalisation, and fits with early stopping, an adaptive learning rate, a
    clean ``y``, a ``RandomState`` or callbacks of its own. Of the search's callbacks, those that follow every epoch
    however deep, like `skae.callbacks.TensorBoardLogger`, let all be trained one by one; a `ProgressBar` sees
    the fits of a stack, not their epochs. There is no ``n_jobs``: one process trains a stack.

    Parameters
    ----------
    estimator : estimator object
        As in `GridSearchCV`.
    param_grid : dict or list of dicts
        As in `GridSearchCV`.
    scoring : str, callable, list, tuple or dict, default=None
        As in `GridSearchCV`; None takes the estimator's ``score``.
    refit : bool, str or callable, default=True
        As in `GridSearchCV`.
    cv : int, cross-validation generator or iterable, default=None
        As in `GridSearchCV`.
    verbose : int, default=0
        As in `GridSearchCV`.
    error_score : "raise" or numeric, default=np.nan
        As in `GridSearchCV`.
    return_train_score : bool, default=False
        As in `GridSearchCV`.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        As of `GridSearchCV`; ``mean_fit_time`` has an equal share of the time that all stacks took.
    best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As of `GridSearchCV`.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : The same in several processes (``n_jobs``), for large networks.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer
    >>> from skae.model_selection import StackedSearchCV
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = AutoEncoderTransformer(2, hidden_layer_sizes=(16,), max_iter=20, random_state=0)
    >>> search = StackedSearchCV(autoencoder, {"learning_rate_init": [1e-5, 1e-2]}, cv=3).fit(X)
    >>> search.best_params_
    {'learning_rate_init': 0.01}
    """

    _parameter_constraints: ClassVar[dict] = {
        name: constraint
        for name, constraint in GridSearchCV._parameter_constraints.items()
        if name not in ("n_jobs", "pre_dispatch")
    }

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        scoring=None,
        refit=True,
        cv=None,
        verbose=0,
        error_score=np.nan,
        return_train_score=False,
    ):
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )

    @available_if(lambda self: hasattr(self.estimator, "transform"))
    def fit_transform(self, X, y=None):
        """Search, and transform the rows with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            What ``best_estimator_.transform`` returns.
        """
        return self.fit(X, y).transform(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags = get_tags(self.estimator).transformer_tags
        return tags

    def _run_search(self, evaluate_candidates, *, callback_ctx):
        # callbacks that follow every fit to its epochs, however deep it lies, see none in a stack
        if any(getattr(c, "max_propagation_depth", 0) is None for c in getattr(self, "_skl_callbacks", ())):
            super()._run_search(evaluate_candidates, callback_ctx=callback_ctx)
            return
        candidates = list(ParameterGrid(self.param_grid))
        task = callback_ctx.subcontext(
            task_name="search", max_subtasks=len(candidates) * self.n_splits_, sequential_subtasks=False
        ).call_on_fit_task_begin(estimator=self)
        splits = TrainedSplits(self._checked_cv_orig, self.estimator, candidates)
        with splits.postponement.active():
            results = evaluate_candidates(candidates, cv=splits, callback_ctx=task)
        task.call_on_fit_task_end(estimator=self)
        results["mean_fit_time"] += splits.seconds / (len(candidates) * self.n_splits_)


class TrainedSplits:
    """Splits of a cross-validation that trains the autoencoders of all candidates before it gives them out.

    Parameters
    ----------
    cv : cross-validation generator
        Makes the splits.
    estimator : estimator
        Of the search.
    candidates : list of dict
        Its parameters.
    """

    def __init__(self, cv: Any, estimator: Any, candidates: list[dict]):
        self._cv, self._estimator, self._candidates = cv, estimator, candidates
        self.postponement = Postponement()
        self.seconds = 0.0  # that the training took

    def split(self, X, y=None, **params) -> Iterator[tuple]:
        """Train, and give out the splits."""
        start = time.perf_counter()
        splits = list(self._cv.split(X, y, **params))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the search will warn
            for parameters in self._candidates:
                self._write_down(parameters, splits, X, y)
        self.postponement.train()
        self.seconds = time.perf_counter() - start
        return iter(splits)

    def _write_down(self, parameters: dict, splits: list, X, y) -> None:
        for train, _ in splits:
            try:
                estimator = clone(self._estimator).set_params(**clone(parameters, safe=False))
                estimator.fit(*_safe_split(estimator, X, y, train))
            except Postponed:
                continue
            except Exception:  # the search will raise it
                return
            return  # there is no autoencoder in it
