"""Search for hyper-parameters, the autoencoders of a search trained at once."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from skae._compat import safe_split
from skae.estimators.batched_training import TrainedModels
from skae.estimators.fit_key import fit_key, survives_cloning
from skae.estimators.versioned import Versioned


class BatchedGridSearchCV(Versioned, GridSearchCV):
    """Exhaustive search like `sklearn.model_selection.GridSearchCV`, which trains many small networks at once.

    Folds of one size are trained as one batch of networks, for all candidates that differ only in
    ``learning_rate_init``, ``alpha``, ``random_state`` or in what is not the autoencoder's (a detector's
    ``threshold``); other candidates have batches of their own. The weights are the same as from training one by one,
    but for rounding. Where ``cv`` does not divide the rows, folds have two sizes. `AutoEncoderTransformer` trains both
    as one batch, other autoencoders need two.

    The estimator may be an autoencoder, an `AutoEncoderOutlierDetector` of one, or a pipeline with either at its end,
    whose earlier steps are fitted once for each candidate and fold. These are trained one by one, as by `GridSearchCV`:
    convolutional, recurrent, stacked, conditional and adversarial autoencoders, networks of your own or with batch
    normalisation, and fits with early stopping, an adaptive learning rate, a clean ``y``, a ``RandomState`` or
    callbacks of their own. With a callback on the search that follows every epoch, like
    `skae.callbacks.TensorBoardLogger`, all are; a `ProgressBar` shows the fits of a batch, not their epochs. There is
    no ``n_jobs``: one process trains a batch.

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
        As of `GridSearchCV`; ``mean_fit_time`` has an equal share of the time that all batches took.
    best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As of `GridSearchCV`.

    See Also
    --------
    sklearn.model_selection.GridSearchCV : The same in several processes (``n_jobs``), for large networks.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer
    >>> from skae.model_selection import BatchedGridSearchCV
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = AutoEncoderTransformer(2, hidden_layer_sizes=(16,), max_iter=20, random_state=0)
    >>> search = BatchedGridSearchCV(autoencoder, {"learning_rate_init": [1e-5, 1e-2]}, cv=3).fit(X)
    >>> search.best_params_
    {'learning_rate_init': 0.01}
    """

    _parameter_constraints: ClassVar[dict] = {**GridSearchCV._parameter_constraints}
    _parameter_constraints.pop("n_jobs")
    _parameter_constraints.pop("pre_dispatch")

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
            n_jobs=1,  # also where joblib's `parallel_config` asks for more: the networks are in this process
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
        own = get_tags(self.estimator)
        tags.transformer_tags, tags.input_tags = own.transformer_tags, own.input_tags
        return tags

    def _run_search(self, evaluate_candidates, *, callback_ctx):
        with joblib.parallel_config("sequential"):  # dask's backend does not heed n_jobs=1
            self._search_here(evaluate_candidates, callback_ctx)

    def _search_here(self, evaluate_candidates, callback_ctx):
        # callbacks that follow every fit to its epochs, however deep it lies, see none in a batch
        if any(getattr(c, "max_propagation_depth", 0) is None for c in getattr(self, "_skl_callbacks", ())):
            super()._run_search(evaluate_candidates, callback_ctx=callback_ctx)
            return
        splits = TrainedSplits(self._checked_cv_orig, self.estimator, list(ParameterGrid(self.param_grid)))
        n_fits = len(splits.candidates) * self.n_splits_
        task = callback_ctx.subcontext(
            task_name="search", max_subtasks=n_fits, sequential_subtasks=False
        ).call_on_fit_task_begin(estimator=self)
        with splits.models.active():
            results = evaluate_candidates(splits.candidates, cv=splits, callback_ctx=task)
        task.call_on_fit_task_end(estimator=self)
        results["mean_fit_time"] += splits.seconds / n_fits
        splits.hide_steps(results)


class TrainedSplits:
    """Splits of a cross-validation that trains the autoencoders of all candidates before it gives them out.

    Pipelines without a ``memory`` get one, in which their earlier steps are found fitted.
    """

    def __init__(self, cv: Any, estimator: Any, candidates: list[dict]):
        self._cv, self._estimator, self._given = cv, estimator, candidates
        self.candidates, self.models = candidates, TrainedModels()
        self.seconds = 0.0  # that the training took
        if isinstance(estimator, Pipeline):
            steps = FittedSteps()
            self.candidates = [
                {**given, "memory": steps} if given.get("memory", estimator.memory) is None else given
                for given in candidates
            ]

    def split(self, X, y=None, **params) -> Iterator[tuple]:
        """Train, and give out the splits."""
        start = time.perf_counter()
        splits = list(self._cv.split(X, y, **params))
        for train, _ in splits:
            for parameters in self.candidates:
                rows = safe_split(self._estimator, X, y, train)  # anew, for a step may work in place
                with suppress(Exception):  # the search will raise it
                    self._plan(clone(self._estimator).set_params(**clone(parameters, safe=False)), *rows)
        self.models.train()
        self.seconds = time.perf_counter() - start
        return iter(splits)

    def hide_steps(self, results: dict) -> None:
        """Put the parameters back that were given, where a memory took their place."""
        if self.candidates is self._given:
            return
        results["params"] = self._given
        masked = ["memory" not in given for given in self._given]
        if all(masked):
            results.pop("param_memory", None)
        else:
            memories = [given.get("memory") for given in self._given]
            results["param_memory"] = np.ma.array(memories, mask=masked, dtype=object)

    def _plan(self, estimator: Any, X, y) -> None:
        """Add what an estimator will train to the models."""
        if not survives_cloning(estimator):  # so that the search's own clones would find nothing
            return
        if isinstance(estimator, Pipeline):
            *steps, (name, last) = estimator.steps
            if not hasattr(last, "_plan_training") or estimator.transform_input is not None:
                return
            earlier = Pipeline([*steps, (name, "passthrough")], memory=estimator.memory)
            X, estimator = earlier.fit_transform(X, y), last
        if hasattr(estimator, "_plan_training"):
            with warnings.catch_warnings(action="ignore"):  # the search will warn
                plan = estimator._plan_training(X, y)
            if plan is not None:
                self.models.add(plan)


class FittedSteps:
    """Fitted steps of a search's pipelines, in the place of their ``memory``: a step is fitted once on equal rows."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple] = {}

    def cache(self, fit_transform: Callable, ignore: Sequence[str] = ()) -> Callable:
        """Return a function that calls a pipeline's own, or finds what it has returned before."""

        def find(transformer, X, y=None, **settings):
            # the message is printed, nothing more
            given = {name: value for name, value in settings.items() if name not in (*ignore, "message")}
            try:
                key = fit_key(transformer), joblib.hash((X, y, given))
            except Exception:  # rows of any kind, which a search must fit all the same
                return fit_transform(transformer, X, y, **settings)
            if key not in self._known:
                # the transformer holds what the key identifies
                self._known[key] = transformer, *fit_transform(transformer, X, y, **settings)
            _, transformed, fitted = self._known[key]
            return copy.deepcopy(transformed), fitted  # the next step may work in place

        return find

    def __sklearn_clone__(self) -> FittedSteps:
        return self
