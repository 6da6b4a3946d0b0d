"""The file: a header of fixed size, JSON, and arrays as safetensors.

    8 bytes   `MAGIC`
    32 bytes  SHA-256 of all that follows
    8 bytes   length of the JSON, little-endian
    8 bytes   length of the arrays
    ...       JSON, UTF-8
    ...       arrays, a safetensors file of its own

The lengths are compared with the size of the file before anything is read, and the hash before anything is parsed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from torch import Tensor

MAGIC = b"\x93skae\r\n\x1a"
HEADER = struct.Struct("<8s32sQQ")
LENGTHS = struct.Struct("<QQ")
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
MAX_DEPTH = 100
FREE_JSON = 2**19  # bytes, which take forty times as many when parsed; more only where the arrays have half as many


class ArtifactError(ValueError):
    """A file that is damaged, no artifact of skae's, or one that must not be loaded.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import skae
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "notes.txt")
    ...     _ = path.write_text("These are notes.")
    ...     skae.load(path)
    Traceback (most recent call last):
    ...
    skae.persistence.container.ArtifactError: ...
    """


def pack(document: Any, tensors: dict[str, Tensor]) -> list[bytes]:
    """Return the parts of a file."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    weights = safetensors_of_torch().save(tensors)
    if len(text) > (limit := max(FREE_JSON, 2 * len(weights))):
        raise ValueError(f"The estimator has {len(text)} bytes of parameters and attributes; a file holds {limit}.")
    lengths = LENGTHS.pack(len(text), len(weights))
    return [MAGIC, _sha256([lengths, text, weights]), lengths, text, weights]


def unpack(file: BinaryIO, size: int) -> tuple[Any, dict[str, Tensor]]:
    """Return what `pack` was given, from a file of so many bytes; raise an `ArtifactError` where it is not whole."""
    safetensors = safetensors_of_torch()
    header = file.read(HEADER.size)
    if header[: len(MAGIC)] != MAGIC:
        raise ArtifactError("it is no file of skae.save, or its beginning is damaged")
    if len(header) < HEADER.size:
        raise ArtifactError("it is cut off")
    _, sha256, n_text, n_weights = HEADER.unpack(header)
    if HEADER.size + n_text + n_weights != size:
        raise ArtifactError(f"it is damaged: it has {size} bytes, not {HEADER.size + n_text + n_weights}")
    if n_text > max(FREE_JSON, 2 * n_weights):
        raise ArtifactError(f"its JSON has {n_text} bytes, more than an estimator can have")
    text, weights = file.read(n_text), file.read(n_weights)
    if _sha256([header[-LENGTHS.size :], text, weights]) != sha256:
        raise ArtifactError("it is damaged: its hash is not that of its contents")
    if _depth(text) > MAX_DEPTH:  # its parser and ours call themselves
        raise ArtifactError("its JSON is nested too deeply")
    return json.loads(text.decode(), parse_constant=_refuse), safetensors.load(weights)


def write(path: str | os.PathLike, parts: Iterable[bytes]) -> None:
    """Write a file as a whole: where that fails, an older one stays as it was."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(path.parent)!r} does not exist: make it, or give another path.")
    unfinished = path.with_name(f".{uuid4().hex}.part")
    try:
        with unfinished.open("xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def read(path: str | os.PathLike) -> tuple[Any, dict[str, Tensor]]:
    """Return the JSON and the arrays of a file."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # to read from a pipe or a device could take for ever
        raise ArtifactError("it is no regular file")
    with open(path, "rb") as file:
        return unpack(file, os.fstat(file.fileno()).st_size)


def _depth(text: bytes) -> int:
    """Return how deeply JSON is nested."""
    brackets = np.frombuffer(b"[" + STRING.sub(b"", text), dtype=np.uint8) & 0xDF  # "{" is "[" plus this bit
    return int(np.cumsum((brackets == 0x5B).astype(int) - (brackets == 0x5D)).max())


def _sha256(parts: Iterable[bytes]) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
    return hashed.digest()


def _refuse(constant: str) -> None:
    raise ArtifactError(f"its JSON holds {constant}")


def safetensors_of_torch() -> Any:
    """Return the module of safetensors, or raise an ImportError that says how to install it."""
    try:
        from safetensors import torch
    except ImportError as error:
        raise ImportError('skae.save and skae.load need safetensors: python -m pip install "skae[files]".') from error
    return torch
