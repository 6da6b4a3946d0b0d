"""Pipelines of scikit-learn's and skae's estimators, by `skops.io`."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from skae._compat import register_skops_node
from skae.persistence.artifact import decode, encode, explained
from skae.persistence.container import pack, unpack
from skae.persistence.estimators import CLASSES


def register_with_skops():
    """Let `skops.io` write and read skae's estimators, alone and within pipelines and searches.

    Call it once in a process, before `skops.io.dump` or `skops.io.load`. Each estimator of skae's becomes a file of
    `skae.save` within that of skops. `skae.load`'s checks read it, so skops need not be told to trust skae's types;
    `skops.io.get_untrusted_types` lists those of others.

    Raises
    ------
    ImportError
        If skops is not installed.

    See Also
    --------
    skae.save : Without skops, for a single estimator; also for those with code of your own.

    Examples
    --------
    >>> import skops.io
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AutoEncoderTransformer
    >>> from skae.persistence import register_with_skops
    >>> register_with_skops()
    >>> X, _ = load_iris(return_X_y=True)
    >>> pipeline = make_pipeline(StandardScaler(), AutoEncoderTransformer(2, max_iter=5)).fit(X)
    >>> data = skops.io.dumps(pipeline)
    >>> skops.io.get_untrusted_types(data=data)
    []
    >>> bool((skops.io.loads(data).transform(X) == pipeline.transform(X)).all())
    True
    """
    register_skops_node("SkaeNode", list(CLASSES.values()), _to_bytes, _from_bytes)


def _to_bytes(estimator: Any) -> bytes:
    document, tensors, code = encode(estimator)
    if code:
        raise TypeError(
            f"{', '.join(code)} of {type(estimator).__name__} is code of yours, which no file of skops holds: save the "
            "estimator by itself, with skae.save."
        )
    return b"".join(pack(document, tensors))


def _from_bytes(data: bytes) -> Any:
    with explained("The part of a file of skops that is skae's"):
        return decode(*unpack(BytesIO(data), len(data)), {})[0]
