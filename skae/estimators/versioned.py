"""Pickles know the version of skae that wrote them."""

from __future__ import annotations

from sklearn import exceptions

import skae
from skae._compat import warn_user
from skae.documented import Documented

VERSION = "_skae_version"  # in a state


class InconsistentVersionWarning(exceptions.InconsistentVersionWarning):
    """An estimator was pickled by another version of skae; the versions are attributes of scikit-learn's names."""

    def __str__(self) -> str:
        return (
            f"This {self.estimator_name} was pickled by skae {self.original_sklearn_version} and is loaded by skae "
            f"{self.current_sklearn_version}, which may fail or compute something else. Fit it again, or write it with "
            "skae.save by the other version: files of skae.save are loaded by every later one."
        )


class Versioned(Documented):
    """Base of the estimators that hold fitted networks: another version warns when it unpickles them."""

    def __getstate__(self):
        return {**super().__getstate__(), VERSION: skae.__version__}

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop(VERSION, "before 0.1.0")
        if version != skae.__version__:
            warning = InconsistentVersionWarning(
                estimator_name=type(self).__name__,
                current_sklearn_version=skae.__version__,
                original_sklearn_version=version,
            )
            warn_user(warning)
        super().__setstate__(state)
