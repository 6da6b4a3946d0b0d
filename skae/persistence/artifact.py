"""Save and load estimators."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import NoneType
from typing import Any

from sklearn.base import BaseEstimator
from torch import Tensor

import skae
from skae.persistence import detectors as _detectors  # noqa: F401  adds its kinds
from skae.persistence import tables as _tables  # noqa: F401
from skae.persistence.container import ArtifactError, pack, read, write
from skae.persistence.estimators import CLASSES
from skae.persistence.values import Reader, Writer, fields

SCHEMA = 1  # to be raised where files are written that an older skae would misread


def save(estimator, path):
    """Save an autoencoder or a detector to a file from which `load` executes nothing.

    The file holds the weights as safetensors and all else as JSON. Files of this version can be loaded by every later
    one. It is written as a whole: where that fails, an older file stays as it was.

    Parameters
    ----------
    estimator : estimator
        An estimator of skae's, fitted or not. Of a search save the ``best_estimator_``; for a pipeline see
        `skae.persistence.register_with_skops`.
    path : str or path
        The file, by convention with the suffix ``.skae``.

    Raises
    ------
    TypeError
        If it is no estimator of skae's, or holds an object that no file can hold. Code of your own, as ``network``,
        ``corruption`` or ``prior``, is no such object: it is left out, and `load` takes it again.

    See Also
    --------
    load : Load it.

    Notes
    -----
    Callbacks and a detector's ``memory`` are not saved.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoEncoderTransformer, load, save
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = AutoEncoderTransformer(2, max_iter=5, random_state=0).fit(X)
    >>> with TemporaryDirectory() as folder:
    ...     save(autoencoder, Path(folder, "iris.skae"))
    ...     loaded = load(Path(folder, "iris.skae"))
    >>> bool((loaded.transform(X) == autoencoder.transform(X)).all())
    True
    """
    write_artifact(path, estimator)


def load(path, *, network=None, corruption=None, prior=None):
    """Load an estimator from a file of `save`.

    Nothing in the file is executed, and it is checked before it is used: its size and hash, then every parameter and
    attribute, and the shapes of the weights by the network that the parameters describe. The hash finds damage; it
    does not tell who has written the file.

    Parameters
    ----------
    path : str or path
        The file.
    network, corruption, prior : object, default=None
        The parameter of this name of the estimator that was saved, where it was code of yours: a function, or a
        specification of your own. It must be the same code, and must not be given otherwise.

    Returns
    -------
    estimator : estimator
        As it was saved, on the CPU; it moves to its ``device`` where there is one.

    Raises
    ------
    skae.persistence.ArtifactError
        If it is no file of `save`, is damaged, or was written by a version of skae whose files this one cannot read; if
        code of yours is missing or was not asked for. It is a ValueError.

    See Also
    --------
    save : Save an estimator.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import skae
    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> autoencoder = skae.AutoEncoderTransformer(2, max_iter=5).fit(X)
    >>> with TemporaryDirectory() as folder:
    ...     skae.save(autoencoder, Path(folder, "iris.skae"))
    ...     loaded = skae.load(Path(folder, "iris.skae"))
    >>> bool((loaded.transform(X) == autoencoder.transform(X)).all())
    True
    """
    return read_artifact(path, network=network, corruption=corruption, prior=prior)[0]


def write_artifact(path: str | os.PathLike, estimator: BaseEstimator, training: dict | None = None) -> None:
    """Save an estimator with plain data of its training: numbers, text, arrays and tensors in dicts, lists, tuples."""
    document, tensors, _ = encode(estimator, training)
    write(path, pack(document, tensors))


def read_artifact(path: str | os.PathLike, **code: Any) -> tuple[Any, dict | None]:
    """Return the estimator and the ``training`` of a file; ``code`` is that of `load`."""
    with explained(repr(os.fspath(path))):
        return decode(*read(path), code)


def encode(estimator: BaseEstimator, training: dict | None = None) -> tuple[dict, dict[str, Tensor], list[str]]:
    """Return an artifact as JSON and arrays, and the parameters whose code of the user's is left out."""
    if type(estimator) not in CLASSES.values():
        raise TypeError(
            f"skae.save takes estimators of skae's own classes, not {type(estimator).__name__}. Of a search save its "
            "best_estimator_, a pipeline with skops.io.dump after skae.persistence.register_with_skops()."
        )
    writer = Writer()
    document = {
        "schema": SCHEMA,
        "skae": skae.__version__,
        "estimator": writer.of(estimator),
        "training": writer.of(training),
    }
    return document, writer.tensors, list(writer.code)


def decode(document: Any, tensors: dict[str, Tensor], code: dict[str, Any]) -> tuple[Any, dict | None]:
    """Return the estimator and the data of its training of an artifact."""
    schema, version = document["schema"], document["skae"]
    if type(schema) is not int or schema < 1 or type(version) is not str:
        raise ArtifactError("it does not say which version of skae has written it")
    if schema > SCHEMA:
        raise ArtifactError(f"it was written by skae {version:.40}, and this is {skae.__version__}: upgrade skae")
    reader = Reader(tensors, code)
    estimator, training = map(reader.of, fields(document, "schema", "skae", "estimator", "training")[2:])
    if not isinstance(estimator, BaseEstimator) or type(training) not in (dict, NoneType):
        raise ArtifactError("it holds no estimator")
    reader.check_all_used()
    return estimator, training


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what a damaged or hostile file may raise into an `ArtifactError`."""
    try:
        yield
    except (ImportError, OSError):  # for a reason that is not in the file
        raise
    except ArtifactError as error:
        raise ArtifactError(f"{name} cannot be loaded: {error}.") from error
    except Exception as error:
        raise ArtifactError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
