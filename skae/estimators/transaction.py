"""A fit changes its estimator as a whole or not at all, for every thread that looks at it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

# by the ids of estimators within a transaction: themselves, the name of the model, the state before
_earlier: dict[int, tuple[Any, str, dict[str, Any]]] = {}
_latest: object = None  # stands for the transaction that has begun last


@contextmanager
def transaction(estimator: Any, model: str) -> Iterator[None]:
    """Take back all that the block has set on an estimator if it raises; a note on the exception says what was done.

    A new value of ``model``, set with all that belongs to it by one ``__dict__.update``, commits: nothing is taken back
    from then on. Until then methods decorated with `of_one_fit` see the earlier state. Scikit-learn's callbacks keep
    their own attributes in order.
    """
    global _latest
    before = dict(vars(estimator))
    is_outermost = id(estimator) not in _earlier
    try:
        if is_outermost:
            _earlier[id(estimator)] = estimator, model, before
            _latest = object()
        yield
    except BaseException as error:
        name, now = type(estimator).__name__, vars(estimator)
        note = f"The {name} is fitted"
        if now.get(model) is before.get(model):
            callbacks = {name: value for name, value in now.items() if "callback" in name}
            # one assignment, so that a second interrupt comes before or after it
            estimator.__dict__ = {name: v for name, v in before.items() if "callback" not in name} | callbacks
            note = f"The {name} is left as it was before this call"
        if not any(said.startswith(note) for said in getattr(error, "__notes__", [])):
            error.add_note(note + ".")
        raise
    finally:
        if is_outermost:
            _earlier.pop(id(estimator), None)


def of_one_fit(method: F) -> F:
    """Decorate a method that reads fitted attributes: they are of one fit, whatever other threads set meanwhile."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        fitted = object.__new__(type(self))
        fitted.__dict__ = _state(self)
        return method(fitted, *args, **kwargs)

    return cast(F, call)


def _state(estimator: Any) -> dict[str, Any]:
    """Return the estimator's attributes, within a transaction those from before it until it commits."""
    while True:
        latest, within = _latest, _earlier.get(id(estimator))
        state = dict(vars(estimator))
        # no transaction has begun or ended meanwhile
        if _latest is latest and _earlier.get(id(estimator)) is within:
            break
    if within is not None:
        _, model, before = within
        if state.get(model) is before.get(model):
            return dict(before)
    return state
