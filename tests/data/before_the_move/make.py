"""Results and interrupted work as the code left them before its modules moved into packages.

Written by version d0766d3, never made again: later code must read these files, go on with them, and end with these
numbers. The script is kept to show how they came about; it runs with that version alone.

    work.tar.xz        the folder in which the commands were given, and the times of change:
        photographs/   drawn, with one kind of masks, all last changed at CHANGED
        set/           prepared from them
        softmax/ ordinal/ folds/ ensemble/    runs on this set; the ensemble is of the folds
        bundle/        of softmax
        start.keras    the weights that all runs began with
        .again.partial ...      `prepare` to again/, stopped in its midst: to end as set/
        .trained.partial ...    `train` to trained/, stopped in the last epoch: to end as softmax/
        .exported.partial ...   `export` to exported/, stopped between two variants: to end as bundle/
        .graded.csv.partial ... `predict --engine ray` to graded.csv/, stopped in the second of two parts
    expected.json      what the commands said of them

What is not needed to go on was left out: TensorBoard's logs, curves, and the models of phases that were not kept.
"""

import csv
import hashlib
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from export.from_run import export_run
from keras_dr.cluster import grading
from keras_dr.config import load_recipe
from keras_dr.preprocessing import Preprocessing

import cli
from edge_demo import __main__ as device
from keras_dr import prepared, preparing, runs, training
from keras_dr.datasets import read_records
from keras_dr.synthetic import write_dataset

HERE = Path(__file__).resolve().parent
WORK, PLACE = HERE / "work", "<the folder work>"
CHANGED = 978_307_200  # the first second of 2001
PHOTOGRAPHS, SIDE = 40, 64
START = [
    *("backbone=tiny", "weights=none", "batch_size=8", "frozen.epochs=0", "finetune.epochs=25"),
    *("finetune.learning_rate=0.004", "finetune.train_batch_norm=true", "finetune.patience=25", "monitor=val_auroc"),
]
SETTINGS = [
    *("backbone=tiny", "weights=start.keras", "batch_size=8", "frozen.epochs=3", "frozen.learning_rate=0.03"),
    *("finetune.epochs=2", "finetune.learning_rate=0.001", "finetune.unfreeze=4", "finetune.train_batch_norm=true"),
    # a gate that eight photographs can pass: else most operators would stay in float
    *("parity.int8.grade_agreement=0.5", "parity.int8.heatmap_correlation=null", "parity.int8.auroc_loss=0.5"),
    "parity.int8.quadratic_kappa_loss=0.5",
]
IMAGES = Path("photographs/images")
SPLITS = ("train", "val", "test")
SHOWN = ("p0001_left", "p0007_right")


def main() -> None:
    """Write everything anew."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    os.chdir(WORK)
    write_dataset(Path("photographs"), PHOTOGRAPHS, seed=3, size=(96, 128), workers=1)
    for masks in Path("photographs/masks").iterdir():
        if masks.name != "haemorrhages":
            shutil.rmtree(masks)
    for file in Path("photographs").rglob("*"):
        os.utime(file, (CHANGED, CHANGED))
    command("prepare", "photographs", "set", "--size", SIDE, "--workers", 1)
    command("train", "set", "start", *options(START))
    Path("start/model.keras").replace("start.keras")
    shutil.rmtree("start")
    words = options(SETTINGS)
    command("train", "set", "softmax", *words)
    command("train", "set", "ordinal", *words, "--set", "head=ordinal")
    command("train", "set", "folds", *words, "--folds", 2)
    command("ensemble", "ensemble", "folds")
    command("export", "softmax", "bundle", "--allow-drift")
    interrupt_prepare()
    interrupt_train()
    interrupt_export()
    interrupt_predict()
    expected = expect()
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    pack()


def pack() -> None:
    """What is needed to go on, as one archive."""
    for name in ("logs", "evaluation"):
        for folder in [*WORK.rglob(name)]:
            shutil.rmtree(folder)
    for name in ("curves.png", "preview.png", "frozen.keras", "finetune.keras"):
        for file in [*WORK.rglob(name)]:
            if ".trained.partial" not in file.parts:
                file.unlink()
    with tarfile.open(HERE / "work.tar.xz", "w:xz", preset=9) as archive:
        for file in sorted(WORK.rglob("*")):
            os.utime(file, (CHANGED, CHANGED))
            archive.add(file, file.relative_to(WORK), recursive=False, filter=anonymous)
    shutil.rmtree(WORK)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry of the archive that names no user."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def options(settings: list[str]) -> list[str]:
    """Settings of a recipe as words of `train`."""
    return [word for setting in settings for word in ("--set", setting)]


def command(*words: object) -> None:
    """A command of cli.py."""
    assert not cli.app(list(map(str, words)), standalone_mode=False), words


def stop(*rest: object) -> None:
    """End a command as Ctrl-C does."""
    raise KeyboardInterrupt


def interrupted(call: Any, *words: Any, **named: Any) -> None:
    """Call what is to be stopped."""
    try:
        call(*words, **named)
    except KeyboardInterrupt:
        return
    raise AssertionError("it was not stopped")


def interrupt_prepare() -> None:
    """After 25 of 40 photographs."""
    name, records = read_records(Path("photographs"))
    source, target, spec = Path("photographs"), Path("again"), Preprocessing(SIDE)

    def progress(done: int, total: int) -> None:
        if done == 25:
            stop()

    interrupted(preparing.prepare, records, source, target, spec, dataset=name, workers=0, progress=progress)


def interrupt_train() -> None:
    """In the second of two epochs of fine-tuning, saved after its second step."""

    def progress(done: int, total: int, text: str) -> None:
        if text == "finetune 2/2" and done == total:
            stop()

    recipe, target = load_recipe(None, SETTINGS), Path("trained")
    interrupted(training.train, prepared.load(Path("set")), target, recipe, progress=progress, save_every=1)


def interrupt_export() -> None:
    """When float32 is written and int8 is not."""

    def progress(done: int, total: int, text: str) -> None:
        if text == "converting to int8":
            stop()

    interrupted(export_run, Path("softmax"), Path("exported"), allow_drift=True, progress=progress)


def interrupt_predict() -> None:
    """Over the fourth photograph of the second part, in the code that Ray's workers run, here without Ray."""
    done, grade_file = [], grading.grade_file

    def grade(grader: Any, photograph: Path) -> Any:
        if len(done) == 32 + 3:
            stop()
        done.append(photograph)
        return grade_file(grader, photograph)

    def spread(ray: Any, begin: Any, parts: Any, *rest: Any) -> Any:
        work = begin()
        for part in parts:
            yield part, work(part)

    with (
        mock.patch.object(grading, "grade_file", grade),
        mock.patch.object(grading, "spread", spread),
        mock.patch.object(grading, "connected", lambda *rest: mock.MagicMock()),
    ):
        interrupted(grading.grade_on_cluster, Path("bundle"), [IMAGES], Path("graded.csv"))
    plan = Path(".graded.csv.partial.json")
    plan.write_text(plan.read_text().replace(str(WORK), PLACE))


def expect() -> dict[str, Any]:
    """What the commands say of the results."""
    data = prepared.load(Path("set"))
    expected: dict[str, Any] = {
        "rows": data.rows,
        "pixels": {name: hashlib.sha256(data.split(name).images().tobytes()).hexdigest() for name in SPLITS},
        "runs": {},
        "device": {},
    }
    for run, split in (("softmax", "test"), ("ordinal", "test"), ("ensemble", "test"), ("folds/fold-1", "val")):
        command("evaluate", run, "--split", split)
        folder = Path(run) / "evaluation" / f"set-{split}"
        figures = runs.read_json(folder / "metrics.json")
        expected["runs"][run] = {"split": split, "rows": read_rows(folder / "predictions.csv"), "figures": figures}
    photographs = [str(IMAGES / f"{name}.jpg") for name in SHOWN]
    for variant in ("float32", "int8"):
        out = WORK / "out.csv"
        words = ["grade", "bundle", *photographs, "--variant", variant, "--csv", str(out)]
        assert device.main(words) == 0
        expected["device"][variant] = read_rows(out)
    command("predict", "bundle", IMAGES, "--out", out)
    expected["graded"] = read_rows(out)
    out.unlink()
    return expected


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    main()
