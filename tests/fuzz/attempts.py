"""Reads a case as the product does, and asks of what was read that it keeps the product's promises."""

import hashlib
import importlib
import json
import os
import signal
import time
from pathlib import Path

SECONDS = 5.0


def load_pure() -> None:
    """What runs without TensorFlow."""
    for name in (
        "edge_demo.grader",
        "edge_demo.results",
        "keras_dr.recipe",
        "keras_dr.datasets",
        "keras_dr.preparation.prepare",
        "keras_dr.models.torch_pickle",
    ):
        importlib.import_module(name)


def load_runs() -> None:
    """Runs, in Keras."""
    load_pure()
    importlib.import_module("keras_dr.training.run")


def load_keras() -> None:
    """Keras and its backend, ready to load a model."""
    load_runs()
    importlib.import_module("keras_dr.models.grader")


def load_litert() -> None:
    """The runtime of the device."""
    for name in ("numpy", "ai_edge_litert.interpreter", "edge_demo.trial"):
        importlib.import_module(name)


def image(box: Path) -> None:
    """As a new set reads it, or, where that refuses it, as an old one does."""
    from keras_dr.core.errors import KerasDrError
    from keras_dr.core.preprocessing import Preprocessing, prepare_image

    data, spec = (box / "case.img").read_bytes(), Preprocessing(64, bits=12)
    try:
        prepared = prepare_image(data, spec)
    except KerasDrError:
        prepared = prepare_image(data, spec.as_before())
    assert prepared.shape == (64, 64, 3) and prepared.dtype == "uint8"


def tables(box: Path) -> None:
    """By every adapter that reads a table; refused where all refuse."""
    from seeds import LAYOUTS

    from keras_dr.core.errors import KerasDrError
    from keras_dr.datasets import find_adapter, read_records
    from keras_dr.datasets.classes import understand_labels
    from keras_dr.datasets.options import SourceOptions

    refusals = []
    for name in LAYOUTS:
        source = box / name
        try:
            find_adapter(source)
            _, records = read_records(source, name)
            understand_labels(records, SourceOptions())
        except KerasDrError as error:
            refusals.append(error)
            continue
        for record in records:
            place = os.path.normpath(record.path)
            assert place.startswith(str(source)), f"left its folder: {place}"
            assert os.sep not in record.image_id and record.image_id not in (".", ".."), record.image_id
    if len(refusals) == len(LAYOUTS):
        raise refusals[0]


def photograph_list(box: Path) -> None:
    """As predict and grade are given it, and as what they would replace."""
    _list(box / "list.csv")


def workbook(box: Path) -> None:
    """As a list of photographs, as a table of results, and as a table of labels."""
    _list(box / "list.xlsx")


def _list(file: Path) -> None:
    from edge_demo.results import is_own_result
    from keras_dr.core.image_files import find_images, shown
    from keras_dr.core.tables import read_table

    assert is_own_result()(file) in (True, False)
    for image in find_images([file]):
        assert shown(image).isprintable()
    read_table(file)


def manifest(box: Path) -> None:
    """With the hash of whatever stands there: by someone who also writes prepared.json."""
    from seeds import prepared_about

    (box / "prepared.json").write_text(json.dumps(prepared_about(box / "manifest.csv")))
    prepared_set(box)


def prepared_set(box: Path) -> None:
    from keras_dr.preparation.prepared_set import PreparedSet

    data = PreparedSet.load(box)
    inside = {str(file) for file in (box / "images").iterdir()}
    assert set(data.image_files()) <= inside, "left its folder"
    for split in ("train", "all"):
        part = data.split(split)
        part.labels()
        part.split_sha256(split)
        part.image(0)
        part.masks(0)
        part.fundus(0)


def recipe(box: Path) -> None:
    """As a file, and by its lines as --set."""
    from keras_dr.core.errors import KerasDrError
    from keras_dr.recipe import Recipe, recipe_text

    for line in (box / "recipe.yaml").read_bytes().decode("utf-8", "replace").splitlines()[:5]:
        try:
            Recipe.load(None, [line])
        except KerasDrError as error:
            assert len(str(error)) < 10_000, "a message longer than a screen"
    try:
        read = Recipe.load(box / "recipe.yaml")
    except KerasDrError as error:
        assert len(str(error)) < 10_000, "a message longer than a screen"
        raise
    recipe_text(read)


def run(box: Path) -> None:
    from keras_dr.core.errors import KerasDrError
    from keras_dr.training.run import Run

    read = Run.load(box)
    assert read.point.value == read.threshold
    refusals = 0
    for question in (read.own_set, read.prepared_set, read.model):
        try:
            question()
        except KerasDrError:
            refusals += 1
    assert refusals, "a model that is none was loaded"


def bundle(box: Path) -> None:
    import numpy as np

    from edge_demo.bundle import Bundle
    from edge_demo.grader import Grading
    from edge_demo.results import describe, encode_outcomes
    from keras_dr.core.errors import KerasDrError

    read = Bundle.load(box)
    read.default_variant()
    for variant in read.models:
        try:
            place = os.path.realpath(read.model_path(variant))
            assert place.startswith(os.path.realpath(box)), "left its folder"
        except KerasDrError:
            continue
    said = dict.fromkeys(read.classes, 0.2)
    empty = np.zeros((1, 1, 3), np.uint8)
    grading = Grading("a.png", read.classes[0], said, 0.2, False, True, (), "none", empty[..., 0].astype("f4"), empty)
    describe(grading, read).encode()
    encode_outcomes(read, [grading])
    json.dumps(grading.to_dict(), allow_nan=False, ensure_ascii=False).encode()


def archive(box: Path) -> None:
    from keras_dr.core.preprocessing import Preprocessing, prepare_image
    from keras_dr.datasets import medmnist
    from keras_dr.datasets.grades import choose_task
    from keras_dr.datasets.records import read_bytes

    records = medmnist.read(box / "retinamnist.npz")
    choose_task("auto", records).usable(records)
    for record in (*records[:1], *records[-1:]):
        prepare_image(read_bytes(record), Preprocessing(32, fundus="none"))


def torch_file(box: Path) -> None:
    """Tensors alone, and no more numbers than the file holds."""
    import numpy as np

    from keras_dr.models.torch_pickle import read_tensors

    size = (box / "weights.pth").stat().st_size
    for name, values in read_tensors(box / "weights.pth").items():
        assert isinstance(name, str) and isinstance(values, np.ndarray) and values.dtype.kind in "fi", name
        assert 0 < values.nbytes < size, f"{values.shape} in {size} bytes"
        values.astype(np.float32).sum()


def keras_model(box: Path) -> None:
    """By someone who also writes run.json and its hash."""
    import keras
    from seeds import run_about

    from keras_dr.training.run import Run

    about = run_about() | {"model_sha256": hashlib.sha256((box / "model.keras").read_bytes()).hexdigest()}
    (box / "run.json").write_text(json.dumps(about))
    try:
        Run.load(box).model()
    finally:
        keras.utils.clear_session()


def tflite_model(box: Path) -> None:
    """As `edge_demo.trial` tries a model, in a fork instead of a fresh process, which takes a hundredth of the time."""
    from edge_demo import trial
    from keras_dr.core.errors import KerasDrError
    from keras_dr.core.limits import limit_process

    child = os.fork()
    if child == 0:
        code = 70
        try:
            limit_process(trial.MEMORY_MIB * 2**20, trial.SECONDS)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            code = 0 if trial._invoke(box / "model.tflite") == trial._PASSED else 3
        finally:
            os._exit(code)
    began = time.monotonic()
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() - began > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            _note(box, "over time")
            raise KerasDrError(f"The model did not end within {SECONDS:.0f} s.", "Copy it again.")
        time.sleep(0.001)
    code = os.waitstatus_to_exitcode(ended[1])
    if code not in (0, 3):
        _note(box, f"ended its trial with {code}")
    if code:
        raise KerasDrError(f"The model ended with {code}.", "Copy it again.")


def _note(box: Path, what: str) -> None:
    with (box.parent / "notes").open("a") as stream:
        stream.write(what + "\n")
