"""From the training loop's epochs to scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable


class CallbackListener:
    """Open one callback task an epoch.

    Parameters
    ----------
    estimator : estimator
        The one being fitted.
    context : sklearn.callback.CallbackContext
        Task of the whole fit.
    data : dict
        X and y, handed to the callbacks.
    fitted_attributes : callable
        Returns the attributes that make a copy of the estimator a fitted one, now.
    """

    def __init__(self, estimator, context, data: dict, fitted_attributes: Callable[[], dict]):
        self._estimator, self._context, self._data = estimator, context, data
        self._fitted_attributes = fitted_attributes

    def begin(self) -> None:
        """Open the epoch's task."""
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end(self) -> bool:
        """Close it; return whether a callback asks to stop."""
        return self._epoch.call_on_fit_task_end(
            estimator=self._estimator, **self._data, reconstruction_attributes=self._fitted_attributes
        )
