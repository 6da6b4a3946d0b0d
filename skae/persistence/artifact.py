"""Save and load estimators."""

from __future__ import annotations

import os
from typing import Any

from sklearn.base import BaseEstimator

import skae
from skae.persistence import estimators as _estimators  # noqa: F401  registers its kinds
from skae.persistence import tables as _tables  # noqa: F401
from skae.persistence.container import ArtifactError, pack, read, write
from skae.persistence.values import Reader, Writer

SCHEMA = 1  # to be raised where files are written that an older skae would misread


def save(estimator, path):
    """Save an estimator to a file."""
    write_artifact(path, estimator)


def load(path, *, network=None, corruption=None, prior=None):
    """Load an estimator from a file of `save`."""
    estimator, training = read_artifact(path, network=network, corruption=corruption, prior=prior)
    return estimator


def write_artifact(path: str | os.PathLike, estimator: BaseEstimator, training: dict | None = None) -> None:
    """Save an estimator with plain data of its training: numbers, text, arrays and tensors in dicts, lists, tuples."""
    write(path, pack(*encode(estimator, training)))


def read_artifact(path: str | os.PathLike, **code: Any) -> tuple[Any, dict | None]:
    """Return the estimator and the ``training`` of a file; ``code`` is that of `load`."""
    try:
        return decode(*read(path), code)
    except ArtifactError as error:
        raise ArtifactError(f"{os.fspath(path)!r} cannot be loaded: {error}.") from error
    except (ImportError, OSError):
        raise
    except Exception as error:  # what a damaged or hostile file may lead to
        raise ArtifactError(f"{os.fspath(path)!r} cannot be loaded: {type(error).__name__}: {error}") from error


def encode(estimator: BaseEstimator, training: dict | None = None) -> tuple[dict, dict]:
    """Return an artifact as JSON and arrays."""
    writer = Writer()
    document = {
        "schema": SCHEMA,
        "skae": skae.__version__,
        "estimator": writer.of(estimator),
        "training": writer.of(training),
    }
    return document, writer.tensors


def decode(document: Any, tensors: dict, code: dict[str, Any]) -> tuple[Any, dict | None]:
    """Return the estimator and the data of its training of an artifact."""
    if document["schema"] > SCHEMA:
        raise ArtifactError(f"it was written by skae {document['skae']}, and this is {skae.__version__}: upgrade skae")
    reader = Reader(tensors, code)
    estimator, training = reader.of(document["estimator"]), reader.of(document["training"])
    if not isinstance(estimator, BaseEstimator):
        raise ArtifactError("it holds no estimator")
    reader.check_all_used()
    return estimator, training
