"""A training in a process of its own, for the tests of backends, devices and hosts.

python train_apart.py PREPARED OUT JOB: JOB is JSON with the recipe, and optionally devices (TensorFlow's virtual CPUs),
hosts and rank, drop (photographs of train left out, to make an odd last batch), stop (calls of progress after which it
is interrupted, to go on at once). Writes OUT/run (rank 0), OUT/weights-<rank>.npz and OUT/history-<rank>.csv.
"""

import json
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import keras
import numpy as np
import tensorflow as tf

from keras_dr.preparation.prepared_set import PreparedSet
from keras_dr.recipe import recipe_from_dict
from keras_dr.training import devices, hosts, train


class Stop:
    """A progress that interrupts once."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, done: int, total: int, text: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def main(folder: Path, out: Path, job: dict) -> None:
    """Train, and write what came of it."""
    if job.get("devices"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * job["devices"])
    recipe, rank = recipe_from_dict(job["recipe"]), job.get("rank", 0)
    if job.get("hosts"):
        hosts.connect(job["hosts"], rank, recipe.seed)
    print(devices.describe(recipe.precision))
    data, write = with_fewer(PreparedSet.load(folder), job.get("drop", 0)), train._write_results

    def keep(place: Path, *arguments: object) -> None:
        write(place, *arguments)
        model = keras.saving.load_model(place / "model.keras", compile=False)
        np.savez(out / f"weights-{rank}.npz", *model.get_weights())
        (out / f"history-{rank}.csv").write_bytes((place / "history.csv").read_bytes())

    train._write_results = keep
    if job.get("stop"):
        with suppress(KeyboardInterrupt):
            train.train(data, out / "run", recipe, progress=Stop(job["stop"]), save_every=1)
        assert not (out / "run").exists()
    train.train(data, out / "run", recipe)


def with_fewer(data: PreparedSet, drop: int) -> PreparedSet:
    """Without the first photographs of train."""
    gone = [row["image_id"] for row in data.split("train").rows[:drop]]
    return replace(data, rows=tuple(row for row in data.rows if row["image_id"] not in gone))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
