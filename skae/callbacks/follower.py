"""What callbacks that follow every fit share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sklearn.callback import FitCallback

from skae.estimators.base import NetworkEstimator


class FitFollower(FitCallback):
    """A callback that writes a record of every fit of an autoencoder."""

    max_propagation_depth = None  # however deep the autoencoder lies
    _begin_record: Callable[[Any, list[str]], Any]

    def __init__(self):
        self._records: dict[Any, Any] = {}  # of the fits that run in this process, by their contexts

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Add an epoch to the record of its fit, or end the record."""
        if isinstance(estimator, NetworkEstimator) and context.task_name == "epoch":
            if context.parent not in self._records:
                self._begin(estimator, context.parent, self._begin_record(*root_and_place(context.parent)))
            self._records[context.parent].add_epoch(fitted_estimator)
        elif context in self._records:
            self._records.pop(context).end(fitted_estimator)

    def _begin(self, estimator, context, record) -> None:
        # a callback passed down is otherwise torn down after the outermost fit, and never in a worker process
        to_tear_down = getattr(estimator, "_skl_callbacks_to_teardown", [])
        if self not in to_tear_down:
            to_tear_down.append(self)
        self._records[context] = record

    def teardown(self, estimator, context):
        """End the record of a fit that has failed."""
        if context in self._records:
            self._records.pop(context).end()

    def __getstate__(self):
        return {**vars(self), "_records": {}}


def root_and_place(fit) -> tuple[Any, list[str]]:
    """Return the context of the outermost fit, and the names of the tasks from it to this fit."""
    if fit.parent is None:
        return fit, []
    root, place = root_and_place(fit.parent)
    # a pipeline's steps may be called anything, at any length
    name = re.sub(r"[^\w.-]", "_", fit.source_task_name or fit.task_name)[:40]
    return root, [*place, f"{name}-{fit.task_id}"]
