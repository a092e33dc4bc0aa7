"""Reads a case as the product does, and asserts the product's promises for an accepted case."""

import hashlib
import importlib
import json
import os
import signal
import time
from pathlib import Path

SECONDS = 5.0


def load_pure() -> None:
    """Import the modules that run without TensorFlow."""
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
    """Import the module that reads runs, with Keras."""
    load_pure()
    importlib.import_module("keras_dr.training.run")


def load_keras() -> None:
    """Import Keras and its backend, ready to load a model."""
    load_runs()
    importlib.import_module("keras_dr.models.grader")


def load_litert() -> None:
    """Import the runtime of a device."""
    for name in ("numpy", "ai_edge_litert.interpreter", "edge_demo.trial"):
        importlib.import_module(name)


def image(box: Path) -> None:
    """Read a photograph by the rules of new sets; if these refuse it, by the rules of older sets."""
    from keras_dr.core.errors import KerasDrError
    from keras_dr.core.preprocessing import Preprocessing, prepare_image

    data = (box / "case.img").read_bytes()
    spec = Preprocessing(64, bits=12)
    try:
        prepared = prepare_image(data, spec)
    except KerasDrError:
        prepared = prepare_image(data, spec.as_before())
    assert prepared.shape == (64, 64, 3) and prepared.dtype == "uint8"


def load_dicom() -> None:
    """Import what reads DICOM files, and the decoders."""
    load_pure()
    for name in ("pydicom", "pydicom.pixels", "gdcm", "openjpeg", "keras_dr.core.privacy"):
        importlib.import_module(name)


def dicom(box: Path) -> None:
    """Read each frame of a DICOM file, and name its patient as results do."""
    from keras_dr.core.frames import expand_frames, read_file, subject_of
    from keras_dr.core.preprocessing import Preprocessing, prepare_image
    from keras_dr.core.privacy import Privacy

    for path in list(expand_frames(box / "case.dcm"))[:3]:
        subject = subject_of(path)
        if subject:
            about = Privacy(identified=True).about(subject)
            assert all(text.isprintable() for text in about.values()), about
        prepared = prepare_image(read_file(path), Preprocessing(64))
        assert prepared.shape == (64, 64, 3) and prepared.dtype == "uint8"


def tables(box: Path) -> None:
    """Read a table with every adapter that reads tables; it is refused if all adapters refuse it."""
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
    """Read a manifest whose hash prepared.json confirms: an attacker writes both files."""
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
    """Read a recipe as a file, and its first lines as --set."""
    from keras_dr.core.errors import KerasDrError
    from keras_dr.recipe import Recipe, recipe_text

    for line in (box / "recipe.yaml").read_bytes().decode("utf-8", "replace").splitlines()[:5]:
        try:
            Recipe.load(None, [line])
        except KerasDrError as error:
            assert len(str(error)) < 10_000, "a message longer than a screen"
    try:
        accepted = Recipe.load(box / "recipe.yaml")
    except KerasDrError as error:
        assert len(str(error)) < 10_000, "a message longer than a screen"
        raise
    recipe_text(accepted)


def run(box: Path) -> None:
    from keras_dr.core.errors import KerasDrError
    from keras_dr.training.run import Run

    accepted = Run.load(box)
    assert accepted.point.value == accepted.threshold
    refusals = 0
    for load in (accepted.own_set, accepted.prepared_set, accepted.model):
        try:
            load()
        except KerasDrError:
            refusals += 1
    assert refusals, "a file that is not a model was loaded"


def bundle(box: Path) -> None:
    import numpy as np

    from edge_demo.bundle import Bundle
    from edge_demo.grading import Grading
    from edge_demo.results import describe, encode_outcomes
    from keras_dr.core.errors import KerasDrError

    accepted = Bundle.load(box)
    accepted.default_variant()
    for variant in accepted.models:
        try:
            place = os.path.realpath(accepted.model_path(variant))
            assert place.startswith(os.path.realpath(box)), "left its folder"
        except KerasDrError:
            continue
    image = np.zeros((1, 1, 3), np.uint8)
    grading = Grading(
        path="a.png",
        grade=accepted.classes[0],
        probabilities=dict.fromkeys(accepted.classes, 0.2),
        p_referable=0.2,
        referred=False,
        fundus_found=True,
        faults=(),
        action="none",
        reason="",
        heatmap=np.zeros((1, 1), np.float32),
        prepared=image,
    )
    describe(grading).encode()
    accepted.points_text().encode()
    accepted.point_text().encode()
    encode_outcomes(accepted, [grading])
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
    """Read PyTorch weights; assert that there are only tensors, and no more numbers than the file holds."""
    import numpy as np

    from keras_dr.models.torch_pickle import read_tensors

    size = (box / "weights.pth").stat().st_size
    for name, values in read_tensors(box / "weights.pth").items():
        assert isinstance(name, str) and isinstance(values, np.ndarray) and values.dtype.kind in "fi", name
        assert 0 < values.nbytes < size, f"{values.shape} in {size} bytes"
        values.astype(np.float32).sum()


def keras_model(box: Path) -> None:
    """Load a model whose hash run.json confirms: an attacker writes both files."""
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
    """Try a model like `edge_demo.trial`, but in a fork, which takes a hundredth of the time of a fresh process."""
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
    start = time.monotonic()
    pid, status = os.waitpid(child, os.WNOHANG)
    while pid == 0:
        if time.monotonic() - start > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            _note(box, "over time")
            raise KerasDrError(f"The model did not end within {SECONDS:.0f} s.", "Copy it again.")
        time.sleep(0.001)
        pid, status = os.waitpid(child, os.WNOHANG)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 3):
        _note(box, f"ended its trial with {code}")
    if code:
        raise KerasDrError(f"The process of the model ended with {code}.", "Copy it again.")


def _note(box: Path, what: str) -> None:
    with (box.parent / "notes").open("a") as stream:
        stream.write(what + "\n")
