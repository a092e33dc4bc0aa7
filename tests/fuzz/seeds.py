"""Small valid files from which mutants are made; files that must be next to them are written into the box."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

IDS = ("a", "b", "c", "d")
CLASSES = ["no_dr", "mild", "moderate", "severe", "proliferative"]


def picture() -> np.ndarray:
    """uint8 RGB (48, 64, 3): an orange disc on black."""
    return cv2.circle(np.zeros((48, 64, 3), np.uint8), (32, 24), 22, (200, 110, 40), -1)


def _encoded(suffix: str, image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(suffix, image, options)[1].tobytes()


def images(box: Path) -> list[bytes]:
    """Every format and kind of pixel that is read, and some that are refused."""
    from odd_files import saved

    colour, grey = picture(), picture()[..., 0]
    alpha, deep = np.dstack([colour, grey]), colour.astype(np.uint16) * 257
    found = [_encoded(suffix, one) for suffix in (".jpg", ".png", ".tif", ".bmp", ".webp") for one in (colour, grey)]
    found += [_encoded(".png", alpha), _encoded(".png", deep), _encoded(".tif", deep), _encoded(".webp", alpha)]
    found += [_encoded(".tif", colour.astype(np.float32)), _encoded(".ppm", colour), _encoded(".pgm", grey)]
    found += [_encoded(".jpg", colour, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), _with_exif(_encoded(".jpg", colour))]
    found += [_encoded(".jpg", colour, cv2.IMWRITE_JPEG_RST_INTERVAL, 2), _encoded(".png", deep >> 4)]
    found += [cv2.imencodemulti(".tif", [colour[:9, :9], colour])[1].tobytes()]
    found += [saved("TIFF", colour, colour), saved("WEBP", colour, 255 - colour, duration=9)]
    found += [saved("PNG", colour, 255 - colour), saved("TIFF", colour, mode="LAB"), saved("TIFF", colour, mode="CMYK")]
    found += [saved("JPEG", colour, mode="CMYK", progressive=True), saved("TIFF", colour, compression="tiff_lzw")]
    found += [_encoded(".png", cv2.resize(colour, (48, 48))), _encoded(".png", np.hstack([colour, colour]))]
    return found


def dicoms(box: Path) -> list[bytes]:
    """DICOM files of each transfer syntax, colours and number of frames."""
    import dicom_fixtures as made
    from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

    folder = box / "seeds"
    folder.mkdir(exist_ok=True)
    kinds = {**made.LOSSLESS, **made.LOSSY}
    files = [make(folder, 32).read_bytes() for make in kinds.values()]
    small = made.colours(32)
    deep = small.astype(np.uint16) * 16
    several = made.dataset(np.stack([small, 255 - small]), made.TRUE_COLOUR)
    files += [made.as_bytes(several), made.as_bytes(made.dataset(deep, made.OPHTHALMIC_16, stored=12))]
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        compressed = made.dataset(np.stack([small, 255 - small]), made.TRUE_COLOUR)
        compressed.compress(syntax, generate_instance_uid=False)
        files.append(made.as_bytes(compressed))
    region = made.dataset(small, AnatomicRegionSequence=made.region("left"))
    return [*files, made.as_bytes(region)]


def _with_exif(jpeg: bytes) -> bytes:
    tag = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    body = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + tag + b"\x00\x00\x00\x00"
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


# Layouts in which a case serves as the table, and the path of the table in each.
LAYOUTS = {
    "csv": "labels.csv",
    "aptos": "train.csv",
    "eyepacs": "trainLabels.csv",
    "messidor-2": "messidor_data.csv",
    "oia-ddr": "train.txt",
    "idrid": "2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv",
    "deepdrid": "regular-fundus-training/regular-fundus-training.csv",
}
_TABLES = {
    "csv": "image,grade,patient_id,eye,split\na.png,0,p1,left,train\nb,4,p1,OD,test\nc.png,2,p2,,\n",
    "aptos": "id_code,diagnosis\na,0\nb,3\n",
    "eyepacs": "image,level\n1_left,0\n1_right,4\n",
    "messidor-2": "image_id,adjudicated_dr_grade,adjudicated_gradable\na.png,0,1\nb.png,,0\n",
    "oia-ddr": "a.png 0\nb.png 5\n",
    "idrid": "Image name,Retinopathy grade,Risk of macular edema\na,0,1\nb,4,2\n",
    "deepdrid": "patient_id,image_id,image_path,left_eye_DR_Level,right_eye_DR_Level\n1,a,\\1\\a.png,3,\n1,b,b,,5",
}


def tables(box: Path) -> list[bytes]:
    """Return one table for each layout, and link the place of each layout's table to the case."""
    (box / "labels.csv").touch()
    for name, file in LAYOUTS.items():
        place = box / name / file
        place.parent.mkdir(parents=True, exist_ok=True)
        (place.parent / "train_images").mkdir(exist_ok=True)
        for image_id in IDS:
            (place.parent / "train_images" / f"{image_id}.png").write_bytes(b"")
        if not place.is_symlink():
            place.symlink_to(box / "labels.csv")
    for name in ("valid.txt", "test.txt"):
        (box / "oia-ddr" / name).write_text("")
    labels = box / "idrid/2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv"
    labels.write_text(_TABLES["idrid"])
    return [text.encode() for text in _TABLES.values()]


_LISTS = (
    "image,eye\na.png,left\nb,right\n",
    "image_id,path,prediction,error\na,a.png,mild,\nb,gone.png,,It is not there.\n",
    "sep=;\nImage Name;x\nc.png;1\n",
)


def lists(box: Path) -> list[bytes]:
    """Tables that name photographs beside them, in two encodings."""
    for image_id in IDS:
        (box / f"{image_id}.png").touch()
    return [text.encode(encoding) for text in _LISTS for encoding in ("utf-8", "utf-16")]


def workbooks(box: Path) -> list[bytes]:
    """The same as Excel workbooks: written by openpyxl at once, and row by row as results are."""
    import openpyxl

    from keras_dr.core.encoding import encode_table

    lists(box)
    rows = [{"image": "a.png", "grade": 0, "p_mild": 0.5}, {"image": "b"}]
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for cells in (("image", "grade"), ("a.png", 1), ("c.png", "=1+1")):
        book.active.append(cells)
    book.save(stream)
    return [encode_table(".xlsx", dict.fromkeys(rows[0], "string"), rows), stream.getvalue()]


def manifest(box: Path) -> list[bytes]:
    """Return the manifest.csv of four photographs."""
    from keras_dr.preparation.manifest import COLUMNS

    (box / "images").mkdir(exist_ok=True)
    rows = []
    for number, image_id in enumerate(IDS):
        (box / "images" / f"{image_id}.png").write_bytes(_encoded(".png", cv2.resize(picture(), (32, 32))))
        (box / "masks" / "drusen").mkdir(parents=True, exist_ok=True)
        values = {"image_id": image_id, "patient_id": f"p{number}", "grade": number, "label": CLASSES[number]}
        values |= {"split": ("train", "train", "val", "test")[number], "group_id": number, "source": f"{image_id}.png"}
        rows.append(",".join(str(values.get(column, "")) for column in COLUMNS))
    return ["\n".join([",".join(COLUMNS), *rows, ""]).encode()]


def prepared_about(manifest_file: Path) -> dict[str, Any]:
    """Return the prepared.json for a manifest."""
    return {
        "schema_version": 1,
        "task": "icdr",
        "classes": CLASSES,
        "referable": [2, 3, 4],
        "source": "../photographs",
        "preprocessing": {"size": 32, "enhance": "none", "fundus": "auto"},
        "counts": {split: dict.fromkeys(CLASSES, 1) for split in ("train", "val", "test")},
        "manifest_sha256": hashlib.sha256(manifest_file.read_bytes()).hexdigest(),
    }


def prepared_json(box: Path) -> list[bytes]:
    """Return the prepared.json of four photographs, with the task icdr and with its own classes."""
    (box / "manifest.csv").write_bytes(manifest(box)[0])
    about = prepared_about(box / "manifest.csv")
    return [json.dumps(about).encode(), json.dumps(about | {"task": "classes"}).encode()]


def recipes(box: Path) -> list[bytes]:
    """Return the recipes of the project."""
    folder = Path(__file__).parents[2] / "recipes"
    return [file.read_bytes() for file in sorted(folder.glob("*.yaml"))]


def run_about() -> dict[str, Any]:
    """Return a run.json with only the required keys."""
    from keras_dr.recipe import Recipe

    point = {"value": 0.5, "targets": {"sensitivity": 0.9}, "strict": False, "sensitivity": 0.9, "specificity": 0.8}
    return {
        "schema_version": 1,
        "recipe": Recipe().model_dump(mode="json"),
        "task": "icdr",
        "classes": CLASSES,
        "referable": [2, 3, 4],
        "preprocessing": {"size": 32, "enhance": "clahe", "fundus": "auto"},
        "data": {"prepared": ".", "manifest_sha256": "0" * 64, "fold": None, "photographs": {"train": 2, "val": 1}},
        "parameters": 12345,
        "phases": {"frozen": {"epoch": 1, "seconds": 1.5}},
        "kept": "finetune",
        "decision": "argmax",
        "temperature": 1.25,
        "operating_point": {"value": 0.4, "rule": "specificity", "target": 0.85},
        "operating_points": {"youden": point},
        "model_sha256": "0" * 64,
    }


def run_json(box: Path) -> list[bytes]:
    """Return run.json files; the prepared set of the run is next to them, and a model with another hash."""
    (box / "prepared.json").write_bytes(prepared_json(box)[0])
    (box / "model.keras").write_bytes(b"no model")
    about = run_about()
    about["data"]["manifest_sha256"] = hashlib.sha256((box / "manifest.csv").read_bytes()).hexdigest()
    fold = {"number": 1, "of": 2, "val_sha256": "0" * 64}
    folded = about | {"data": about["data"] | {"fold": fold}, "task": "classes"}
    return [json.dumps(about).encode(), json.dumps(folded).encode()]


def bundle_json(box: Path) -> list[bytes]:
    """Return bundle.json files for a model with the right hash."""
    from keras_dr.core.quality import COLOURS, MEASURES

    (box / "int8.tflite").write_bytes(b"a model")
    entry = {"file": "int8.tflite", "sha256": hashlib.sha256(b"a model").hexdigest(), "size_bytes": 7}
    about = {
        "schema_version": 1,
        "task": "icdr",
        "classes": CLASSES,
        "referable": [2, 3, 4],
        "preprocessing": {"size": 32, "enhance": "none", "fundus": "auto"},
        "threshold": 0.4,
        "temperature": 1.0,
        "decision": "argmax",
        "heatmaps": "class evidence",
        "parity": {"failures": {"dynamic": "strays"}},
        "models": {"int8": entry, "dynamic": entry},
    }
    with_limits = about | {
        "quality_limits": {name: [0, 1] for name in MEASURES},
        "colour_limits": {name: [0, 1] for name in COLOURS},
    }
    return [json.dumps(about).encode(), json.dumps(with_limits).encode()]


def archives(box: Path) -> list[bytes]:
    """Return miniatures of RetinaMNIST: in colour, and grey and compressed."""
    files = []
    for shape, save in (((2, 28, 28, 3), np.savez), ((2, 28, 28), np.savez_compressed)):
        arrays: dict[str, Any] = {}
        for split in ("train", "val", "test"):
            arrays |= {f"{split}_images": np.full(shape, 99, np.uint8), f"{split}_labels": np.array([[0], [3]])}
        stream = io.BytesIO()
        save(stream, **arrays)
        files.append(stream.getvalue())
    return files


def torch_begin() -> bytes:
    """Return the bytes before the object in a PyTorch file of the older format."""
    from torch_files import BEGIN

    return BEGIN


def torch_files(box: Path) -> list[bytes]:
    """Return files of a few tensors, of half precision, and of two tensors that share a storage."""
    from torch_files import file_of, storage, tensor, torch_file

    numbers = np.arange(6, dtype=np.float32)
    tensors = {"_conv_stem.weight": np.ones((16, 3, 7, 7), np.float32), "_bn0.num_batches_tracked": np.array(3)}
    stored = storage("0", "Float", 6)
    shared = {"a": tensor(stored, 0, (3, 2), (1, 3)), "b": tensor(stored, 4, (2,), (1,))}
    return [torch_file(tensors), torch_file({"a": numbers.astype(np.float16)}), file_of(shared, {"0": numbers})]


def keras_models(box: Path) -> list[bytes]:
    """Return a saved grader with the tiny backbone."""
    from keras_dr.models.grader import build_model

    (box / "seed.keras").unlink(missing_ok=True)
    build_model("tiny", 32, 5).save(box / "seed.keras")
    return [(box / "seed.keras").read_bytes()]


def tflite_models(box: Path) -> list[bytes]:
    """Return a model of a convolution, its mean and a softmax; another process makes it with TensorFlow."""
    code = "import sys, edge_fixtures as e; open(sys.argv[1], 'wb').write(e.convert(e.BIAS['float32']))"
    root = Path(__file__).parents[2]
    file = box.parent / "seed.tflite"
    if not file.is_file():
        paths = os.pathsep.join((str(root), str(root / "tests" / "helpers")))
        subprocess.run([sys.executable, "-c", code, str(file)], check=True, env=os.environ | {"PYTHONPATH": paths})
    return [file.read_bytes()]
