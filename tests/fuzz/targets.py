"""The targets of fuzzing: for each kind of file, valid examples, mutations, and the code that reads it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import attempts
import seeds
from mutations import DEEP, Mutate, mutate_bytes, mutate_json, mutate_npy, mutate_zip

Prepare = Callable[[Path], list[bytes]]
Attempt = Callable[[Path], None]
Grammar = Callable[[], Any]


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        file: name of a case in the box, a folder made for it.
        load: imports the modules that the attempt needs, before memory and time are measured.
        prepare: writes the other files that are needed into the box, and returns valid contents of the file.
        mutate: breaks a valid content.
        attempt: reads the case as the product does; a KerasDrError or OSError refuses it.
        grammar: returns a Hypothesis strategy of bytes, for cases that do not resemble any valid file.
        guided: whether coverage guides the cases, because Python code reads the file.
        limited: whether the address space can be limited.
        environment: environment variables of the process.
    """

    file: str
    load: Callable[[], None]
    prepare: Prepare
    mutate: Mutate
    attempt: Attempt
    grammar: Grammar | None = None
    guided: bool = False
    limited: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


_NUMPY_KERAS = {"KERAS_BACKEND": "numpy"}  # enough to read run.json, and it starts in a tenth of TensorFlow's time
_CSV = (
    *(b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc2\xb2", b"," * 3000, b"9" * 5000, b"a" * 140_000),
    *rb"../../../etc/passwd /etc/passwd C:\x =1+1 image grade test 5 nan -1 1e400".split(),
)
_XML = (
    b'<c r="A1" t="s"><v>99999999999</v></c>',
    b'<c r="ZZZZ1" t="n"><v>1e999</v></c>',
    b'<c r="A99999999" t="d"><v>9999-99-99</v></c>',
    b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>',
    b"&c;",
    b"<row>" * 2000,
    b'<mergeCell ref="A1:XFD1048576"/>',
    b'<dimension ref="A1:XFD1048576"/>',
    b'Target="../../etc/passwd"',
    b"]]>",
)
_YAML = (
    *(
        b"&a ",
        b"*a",
        b": ",
        b"- ",
        b"? ",
        b"~: ~\n",
        b"--- ",
        b"[" * 3000,
        b"[" * DEEP,
        b"- " * DEEP,
        b"0x" + b"f" * 5000,
    ),
    *(b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", b"<<: *a\n", b"9" * 5000, b"\t"),
    *(b"!!python/object/apply:os.system ['touch out']", b"!!int ''", b"!!float x", b"!!timestamp x", b"!!binary x"),
    *rb"{ } 2001-99-99 .nan 1e999 0b 190:20:30 !!set !!omap !!pairs finetune: epochs: backbone: oversampling:".split(),
)
_OPCODES = (  # parts of pickles: programs, calls and single steps, memo and sizes, deep or large values
    *(
        b"cos\nsystem\n",
        b"ios\nsystem\n",
        b"cbuiltins\neval\n",
        b"ctorch\nFloatStorage\n",
        b"ccollections\nOrderedDict\n",
    ),
    *(b"\x85R", b"\x86R", b")R", b"}b", *(bytes([step]) for step in b"Q(tus2}]ae.\x93\x94")),
    *(b"q\xff", b"h\xff", b"r\xff\xff\xff\xff", b"X\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"\x8b\xff\xff\xff\x7f"),
    *(b")" + b"q\x00h\x00\x86" * 200, b"]" * DEEP, b"(" * DEEP, b")" + b"\x85" * DEEP, b"\x8d" + b"\xff" * 8, b"L9L\n"),
)
_DICOM = (  # parts of data sets: sequences and items without an end, lengths, syntaxes, sizes
    *(b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\0\0"),
    *(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * n for n in (1, 50, 3000)),
    *(b"\xff\xff\xff\xff", b"\xfe\xff\xff\x7f", b"\xff\xff", b"\0\0", b"UN", b"SQ", b"OW", b"UI", b"IS", b"DS"),
    *(b"\x28\x00\x10\x00US\x02\x00\xff\xff", b"\x28\x00\x08\x00IS\x0a\x002147483647", b"\xff\x4f\xff\x51", b"\xff\xf7"),
    *(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.4.57", b"1.2.840.10008.1.2.4.90"),
    *(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.2\0", b"PALETTE COLOR ", b"YBR_FULL_422", b"MONOCHROME1 "),
)
_KEYS = ("schema_version", "task", "classes", "preprocessing", "models", "data", "counts", "recipe")


def _json_grammar() -> Any:
    from hypothesis import strategies as st

    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    keys = st.sampled_from(_KEYS) | st.text()
    values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=30)
    return st.builds(lambda value: json.dumps(value).encode(), values)


def _csv_grammar() -> Any:
    from hypothesis import strategies as st

    names = ("image", "grade", "patient_id", "eye", "split", "id_code", "diagnosis", "level", "label", "Image name")
    cells = st.sampled_from((*names, "a", "b.png", "0", "4", "5", "test", "left", "")) | st.text(max_size=8)
    rows = st.lists(st.lists(cells, max_size=6), max_size=6)
    text = rows.map(lambda table: "\n".join(",".join(row) for row in table))
    return text.map(lambda made: made.encode("utf-8", "surrogatepass"))


def _yaml_grammar() -> Any:
    from hypothesis import strategies as st

    parts = st.sampled_from([token.decode("latin-1") for token in _YAML if len(token) < 60] + ["\n", "  ", "a", "1"])
    return st.lists(parts | st.text(max_size=4), max_size=25).map("".join).map(partial(str.encode, errors="replace"))


def _binary() -> Any:
    from hypothesis import strategies as st

    magic = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"BM", b"P5\n", b"P6\n", b"RIFF", b"")
    return st.builds(bytes.__add__, st.sampled_from(magic), st.binary(max_size=400))


def _keras_member(data: bytes, rng: Random) -> bytes:
    return mutate_json(data, rng) if data[:1] == b"{" else mutate_bytes(data, rng)


def _guided(file: str, prepare: Prepare, mutate: Mutate, attempt: Attempt, grammar: Grammar | None = None) -> Target:
    return Target(file, attempts.load_pure, prepare, mutate, attempt, grammar, guided=True)


def _json(file: str, prepare: Prepare, attempt: Attempt) -> Target:
    return _guided(file, prepare, mutate_json, attempt, _json_grammar)


def _pickle_grammar() -> Any:
    from hypothesis import strategies as st

    parts = st.sampled_from(_OPCODES) | st.binary(max_size=4)
    return st.lists(parts, max_size=25).map(lambda made: seeds.torch_begin() + b"\x80\x02" + b"".join(made))


_mutate_csv = partial(mutate_bytes, tokens=_CSV)
_mutate_yaml = partial(mutate_bytes, tokens=_YAML)
_mutate_pickle = partial(mutate_bytes, tokens=_OPCODES)
TARGETS = {
    "image": Target("case.img", attempts.load_pure, seeds.images, mutate_bytes, attempts.image, _binary),
    "dicom": Target(
        "case.dcm",
        attempts.load_dicom,
        seeds.dicoms,
        partial(mutate_bytes, tokens=_DICOM),
        attempts.dicom,
        _binary,
    ),
    "csv": _guided("labels.csv", seeds.tables, _mutate_csv, attempts.tables, _csv_grammar),
    "list": _guided("list.csv", seeds.lists, _mutate_csv, attempts.photograph_list, _csv_grammar),
    "workbook": Target(
        "list.xlsx",
        attempts.load_pure,
        seeds.workbooks,
        partial(mutate_zip, members={".xml": partial(mutate_bytes, tokens=_XML)}),
        attempts.workbook,
    ),
    "manifest": _guided("manifest.csv", seeds.manifest, _mutate_csv, attempts.manifest, _csv_grammar),
    "yaml": _guided("recipe.yaml", seeds.recipes, _mutate_yaml, attempts.recipe, _yaml_grammar),
    "prepared.json": _json("prepared.json", seeds.prepared_json, attempts.prepared_set),
    "run.json": replace(
        _json("run.json", seeds.run_json, attempts.run), load=attempts.load_runs, environment=_NUMPY_KERAS
    ),
    "bundle.json": _json("bundle.json", seeds.bundle_json, attempts.bundle),
    "npz": _guided(
        "retinamnist.npz", seeds.archives, partial(mutate_zip, members={".npy": mutate_npy}), attempts.archive
    ),
    "pth": _guided("weights.pth", seeds.torch_files, _mutate_pickle, attempts.torch_file, _pickle_grammar),
    "tflite": Target(
        "model.tflite", attempts.load_litert, seeds.tflite_models, mutate_bytes, attempts.tflite_model, limited=False
    ),
    "keras": Target(
        "model.keras",
        attempts.load_keras,
        seeds.keras_models,
        partial(mutate_zip, members={".json": _keras_member}),
        attempts.keras_model,
        limited=False,
    ),
}
