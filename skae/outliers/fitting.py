"""Fits within a fit, as tasks of its callbacks."""

from __future__ import annotations


def fit_within(context, caller, estimator, X) -> None:
    """Fit an estimator as a task of the caller's fit."""
    with context.propagate_callback_context(estimator):
        context.call_on_fit_task_begin(estimator=caller, X=X)
        estimator.fit(X)
        context.call_on_fit_task_end(estimator=caller, X=X)
