"""Several GPUs of one machine, represented by two virtual CPUs of TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from places import ROOT

from keras_dr.training import devices

SCRIPT = ROOT / "tests" / "helpers" / "train_apart.py"
PHASE = {"epochs": 1, "learning_rate": 1e-3}
# 35 photographs in batches of 10 leave 5, which two devices cannot share evenly; dropout differs between devices
RECIPE = {
    "backbone": "tiny",
    "weights": "none",
    "batch_size": 10,
    "dropout": 0,
    "frozen": PHASE,
    "finetune": PHASE | {"ema": 0.5, "clip_norm": 0.01, "weight_decay": 0.01, "first_layer_rate": 0.5},
}


@pytest.mark.slow
def test_two_devices_train_like_one_and_go_on(prepared_folder: Path, tmp_path: Path) -> None:
    jobs = {"one": {}, "two": {"devices": 2, "stop": 8}}
    processes = {}
    for name, settings in jobs.items():
        (tmp_path / name).mkdir()
        job = json.dumps({"recipe": RECIPE, "drop": 1} | settings)
        command = [sys.executable, str(SCRIPT), str(prepared_folder), str(tmp_path / name), job]
        environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
        processes[name] = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    for name, process in processes.items():
        output = process.communicate(timeout=1500)[0]
        assert process.returncode == 0, output
        assert ("Training on 2 x CPU" in output) == (name == "two")
    one_device, two_devices = (np.load(tmp_path / name / "weights-0.npz").values() for name in jobs)
    for expected, weights in zip(one_device, two_devices, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=0, atol=2e-6)
    histories = [np.genfromtxt(tmp_path / name / "history-0.csv", delimiter=",") for name in jobs]
    np.testing.assert_allclose(*histories, rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow's backend")
def test_the_line_names_backend_devices_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "names", lambda: ["CPU"])
    monkeypatch.setattr(devices, "machine_has_gpu", lambda: True)
    line = devices.describe("float32")
    assert line.startswith("Training on CPU (") and "tensorflow, float32." in line and "Warning: this machine" in line
    monkeypatch.setattr(devices, "names", lambda: ["NVIDIA H100", "NVIDIA H100"])
    assert devices.describe("mixed_bfloat16").startswith("Training on 2 x NVIDIA H100 (")
    assert "Warning" not in devices.describe("mixed_bfloat16")
