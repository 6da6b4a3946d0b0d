"""The file of `skae.save`, whatever is in it."""

import os
import sys
from io import BytesIO

import numpy as np
import pytest
import torch
from hostile_files import parts, with_hash

from skae import AutoEncoderTransformer, load, save
from skae.persistence import ArtifactError, container
from skae.persistence.container import HEADER, pack, read, unpack, write


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """The bytes of a small file."""
    X = np.random.default_rng(0).normal(size=(30, 3))
    autoencoder = AutoEncoderTransformer(1, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(X)
    path = tmp_path_factory.mktemp("artifact") / "a.skae"
    save(autoencoder, path)
    return path.read_bytes()


def unpacked(data):
    return unpack(BytesIO(data), len(data))


def test_json_and_arrays_come_back():
    document, tensors = {"a": [1, 0.1, None, "ü"]}, {"x": torch.arange(3), "empty": torch.zeros(0, 2)}
    read_document, read_tensors = unpacked(b"".join(pack(document, tensors)))
    assert read_document == document
    assert read_tensors.keys() == tensors.keys()
    assert all(torch.equal(read_tensors[name], tensors[name]) for name in tensors)


def test_every_flipped_bit_is_found(artifact):
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * len(artifact), 10_000, replace=False):
        damaged = bytearray(artifact)
        damaged[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ArtifactError):
            unpacked(bytes(damaged))


def test_every_truncation_is_found(artifact):
    for n in range(len(artifact)):
        with pytest.raises(ArtifactError):
            unpacked(artifact[:n])


def test_more_bytes_are_found(artifact):
    with pytest.raises(ArtifactError, match="damaged"):
        unpacked(artifact + b"\0")


@pytest.mark.parametrize("data", [b"", b"\x80\x04N.", b"PK\x03\x04", bytes(1000), b"a" * HEADER.size])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "other").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"no file of skae\.save"):
        load(tmp_path / "other")


def test_lengths_are_compared_before_anything_is_read(artifact):
    class File(BytesIO):
        def read(self, n=-1):
            assert n == HEADER.size
            return super().read(n)

    data = HEADER.pack(container.MAGIC, bytes(32), 2**62, 2**62) + artifact[HEADER.size :]
    with pytest.raises(ArtifactError, match="damaged"):
        unpack(File(data), len(data))


@pytest.mark.parametrize(
    "text", [b"NaN", b"[1e5", b"\xff", b"[" * 10**5, b"9" * 5000, b"{" + b'"a":' * 10**4, b" " * (2**19 + 1)]
)
def test_json_that_is_none_is_refused(artifact, tmp_path, text):
    (tmp_path / "a.skae").write_bytes(with_hash(text, parts(artifact)[1]))
    with pytest.raises(ArtifactError):
        load(tmp_path / "a.skae")


@pytest.mark.parametrize("opening", [b"[", b'{"tuple":['])
def test_deep_json_crashes_no_interpreter(artifact, opening):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)  # without it the parser would stop itself
    try:
        with pytest.raises(ArtifactError, match="too deeply"):
            unpacked(with_hash(opening * (2**18 // len(opening)), parts(artifact)[1]))
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_in_text_are_no_depth():
    document, _ = unpacked(b"".join(pack(["[" * 1000, '"[\\"[' * 1000], {})))
    assert document[0] == "[" * 1000


def test_long_json_needs_as_long_arrays():
    with pytest.raises(ValueError, match="bytes of parameters"):
        pack(["a" * 2**20], {})
    document, _ = unpacked(b"".join(pack(["a" * 2**20], {"x": torch.zeros(2**19)})))
    assert len(document[0]) == 2**20


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.skae"
    write(path, [b"older"])

    def broken():
        yield b"newer"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, broken())
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["a.skae"]
    write(path, [b"new", b"er"])
    assert path.read_bytes() == b"newer"
    assert os.listdir(tmp_path) == ["a.skae"]


def test_a_folder_stays_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(tmp_path / "folder", [b"a"])
    assert os.listdir(tmp_path) == ["folder"]
    with pytest.raises(ArtifactError, match="regular file"):
        load(tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_does_not_make_load_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="regular file"):
        read(tmp_path / "pipe")


def test_a_missing_safetensors_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "skae\[files\]"'):
        save(AutoEncoderTransformer(), tmp_path / "a.skae")
    assert os.listdir(tmp_path) == []
