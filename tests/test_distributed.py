"""Two processes train one model: `joint_fits.py` is what they run, over gloo on the loopback address."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import joint_fits
import numpy as np
import pytest

from skae import AutoEncoderTransformer
from skae.distributed import data_parallel

SCRIPT = Path(__file__).with_name("joint_fits.py")


def start(function, folder):
    """Start two processes as torchrun does, but without its agent, which would end one when the other dies."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), function, str(folder)], env={**os.environ, **variables, "RANK": str(rank)}
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of both processes."""
    folder = tmp_path_factory.mktemp("results")
    for process in start("main", folder):
        assert process.wait(timeout=300) == 0
    return [
        dict(np.load(folder / f"{rank}.npz")) | {"errors": (folder / f"{rank}.errors").read_text()} for rank in range(2)
    ]


def test_all_processes_have_the_same_bits(results):
    first, second = ({name: values for name, values in fits.items() if name != "errors"} for fits in results)
    assert len(first) == len(joint_fits.SAME | joint_fits.SHARDS) + 2 * len(joint_fits.AGREE) + 6
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
        assert np.isfinite(values).all(), name


def test_they_go_on_from_a_checkpoint_with_the_same_bits(results):
    np.testing.assert_array_equal(results[0]["interrupted"], results[0]["whole"])


@pytest.mark.parametrize("name", [*joint_fits.SAME, *joint_fits.SHARDS])
def test_they_train_what_one_process_does_on_the_same_batches(results, name):
    alone = joint_fits.result((joint_fits.SAME | joint_fits.SHARDS)[name](joint_fits.X))
    np.testing.assert_allclose(results[0][name], alone, atol=1e-5, rtol=1e-5)


def test_what_one_process_cannot_do_is_an_error_in_all(results):
    first, second = (fits["errors"].splitlines() for fits in results)
    assert len(first) == len(second) == 6
    for message, *pair in zip(
        ("infinity", "no rows", "leaves no row", "differ in ['alpha']", "other names or kinds", "other names or kinds"),
        first,
        second,
        strict=True,
    ):
        assert all(message in said for said in pair), pair


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long)])
def test_a_process_that_dies_or_hangs_ends_the_other(tmp_path, how):
    first, second = start("train_for_long", tmp_path)
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("*.started"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(second.pid, how)
        first.wait(timeout=60)
        said = (tmp_path / "0.error").read_text()
        assert said.startswith("True Another of the 2 processes of this training has ended, or did not answer in time")
    finally:
        for process in (first, second):
            process.kill()


def test_it_needs_processes(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(RuntimeError, match="torchrun"), data_parallel():
        pass
    with pytest.raises(ValueError, match="rows='parts' must be 'shards' or 'same'"), data_parallel("parts"):
        pass


def test_a_group_of_one_changes_nothing(digits, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    settings = {"hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    with data_parallel("same"):
        joint = AutoEncoderTransformer(4, **settings).fit(digits)
    assert joint.loss_curve_ == AutoEncoderTransformer(4, **settings).fit(digits).loss_curve_
