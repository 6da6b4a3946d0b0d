"""Training of a detector's model, as a task for callbacks, with an optional cache."""

from __future__ import annotations

from skae.estimators.fitted import fitted_state


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
