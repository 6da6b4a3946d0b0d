"""A fit changes its estimator as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def transaction(estimator: Any, model: str) -> Iterator[None]:
    """Take back all that the block has set on an estimator if it raises; a note on the exception says what was done.

    A new value of ``model``, set with all that belongs to it by one ``__dict__.update``, commits: nothing is taken back
    from then on. Scikit-learn's callbacks keep their own attributes in order.
    """
    before = dict(vars(estimator))
    try:
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
