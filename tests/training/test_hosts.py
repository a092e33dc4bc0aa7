"""JAX on one host, interrupted, and on two hosts. The hosts are processes of this machine, which run in parallel."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.metrics.measure import validation_scores
from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.training import hosts
from keras_dr.training.forward import predict
from keras_dr.training.run import Run
from keras_dr.training.spread import DeviceSpread

pytest.importorskip("jax")
SCRIPT = ROOT / "tests" / "helpers" / "train_apart.py"
PHASE = {"epochs": 1, "learning_rate": 1e-3}
# 35 photographs in batches of 10 leave 5, which two hosts cannot share evenly
RECIPE = {
    "backbone": "tiny",
    "weights": "none",
    "batch_size": 10,
    "frozen": PHASE | {"augment": False},
    "finetune": PHASE | {"ema": 0.5},
}
JOB = {"recipe": RECIPE, "drop": 1}


def start(folder: Path, out: Path, backend: str, **job: object) -> subprocess.Popen[str]:
    out.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(folder), str(out), json.dumps(JOB | job)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def free_ports(count: int) -> Iterator[int]:
    sockets = [socket.socket() for _ in range(count)]
    for open_socket in sockets:
        open_socket.bind(("127.0.0.1", 0))
    yield from [open_socket.getsockname()[1] for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()


@pytest.fixture(scope="module")
def trained(prepared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders alone/, again/ (interrupted, then continued) and hosts/ (two, interrupted, then continued)."""
    out = tmp_path_factory.mktemp("jax")
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    jobs = {
        "alone": start(prepared_folder, out / "alone", "jax"),
        "again": start(prepared_folder, out / "again", "jax", stop=8),
        "rank 0": start(prepared_folder, out / "hosts", "jax", stop=8, hosts=addresses, rank=0),
        "rank 1": start(prepared_folder, out / "hosts", "jax", stop=8, hosts=addresses, rank=1),
    }
    with ExitStack() as stack:
        for process in jobs.values():
            stack.enter_context(process)
            stack.callback(process.kill)
        for name, process in jobs.items():
            output = process.communicate(timeout=1500)[0]
            assert process.returncode == 0, f"{name}: {output}"
            assert ("2 x cpu" if "rank" in name else "Training on cpu") in output
    return out


def weights(file: Path) -> list[np.ndarray]:
    return list(np.load(file).values())


@pytest.mark.minutes
def test_jax_goes_on_bit_for_bit(trained: Path) -> None:
    alone = weights(trained / "alone" / "weights-0.npz")
    again = weights(trained / "again" / "weights-0.npz")
    assert all(np.array_equal(expected, array) for expected, array in zip(alone, again, strict=True))


@pytest.mark.minutes
def test_two_hosts_end_with_the_same_weights(trained: Path) -> None:
    first = weights(trained / "hosts" / "weights-0.npz")
    second = weights(trained / "hosts" / "weights-1.npz")
    assert all(np.array_equal(expected, array) for expected, array in zip(first, second, strict=True))


@pytest.mark.minutes
def test_two_hosts_train_like_one(trained: Path) -> None:
    alone = weights(trained / "alone" / "weights-0.npz")
    two_hosts = weights(trained / "hosts" / "weights-0.npz")
    for expected, array in zip(alone, two_hosts, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-6)
    histories = [np.genfromtxt(trained / name / "history-0.csv", delimiter=",") for name in ("alone", "hosts")]
    np.testing.assert_allclose(*histories, rtol=1e-5)


@pytest.mark.minutes
def test_a_run_of_jax_is_read_by_tensorflow(trained: Path, prepared_folder: Path) -> None:
    run = Run.load(trained / "hosts" / "run")
    assert (run.about["backend"], run.about["devices"]) == ("jax", ["cpu", "cpu"])
    val = PreparedSet.load(prepared_folder).split("val")
    scores = validation_scores(val.labels(), predict(run, run.model(), val), run.task)
    assert scores["val_loss"] == pytest.approx(run.about["calibration"]["after"]["log_loss"], abs=1e-5)
    assert not folders.partial_folder(run.folder).exists()


def test_hosts_share_each_batch_in_the_order_of_training() -> None:
    spreads = [DeviceSpread(devices=2, hosts=2, rank=rank) for rank in (0, 1)]
    order = np.arange(8)
    assert [spread.share(order, 4, True)[0].tolist() for spread in spreads] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert [spread.share(order[:3], 4, False)[0].tolist() for spread in spreads] == [[0, 1, 2]] * 2


def test_the_last_smaller_batch_is_a_stretch_of_its_own() -> None:
    spread = DeviceSpread(devices=2)
    assert list(spread.stretches(35, 10)) == [(0, 3, True), (3, None, False)]
    assert list(spread.stretches(35, 10, first=3)) == [(3, None, False)]
    assert list(spread.stretches(30, 10, first=1)) == [(1, None, True)]
    assert list(DeviceSpread().stretches(35, 10)) == [(0, None, True)]


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(KerasDrError, match="batch_size=18"):
        DeviceSpread(devices=3).check(16)


def test_averaged_gradients_of_several_gpus_are_refused() -> None:
    with pytest.raises(KerasDrError, match="accumulate: 1"):
        DeviceSpread(devices=2, copies=2).check(16, accumulate=2)


def test_hosts_need_jax() -> None:
    with pytest.raises(KerasDrError, match="KERAS_BACKEND=jax"):
        hosts.connect("a:1,b:1", 0, 42)
