"""Compares LiteRT with other engines on the same weights and threads, in fresh processes that take turns.

LiteRT runs float32.tflite, the others run float32.onnx. All compute in float32, one photograph at a time.

Processor time per invoke with one thread on a busy machine (Xeon with AVX-512), medians of processes that took turns.
MobileNetV2 at 512 pixels, two sets of three: LiteRT 46 ms; ONNX Runtime 1.02 and 1.07 times that, OpenVINO .97 and 1.02
times. DenseNet121 at 224 pixels, random weights, two rounds: LiteRT 58 ms; ONNX Runtime .88, OpenVINO .86 times that.
According to `edge_demo.operators`, convolutions take 86 % of LiteRT's time for DenseNet121. Concatenations, which copy,
take 5 %, and batch norms before a convolution, which are separate operators, 6 to 9 %. The gap is as large as these two
together, which the other engines may fuse. A depthwise convolution instead of such a batch norm would save half of its
time; that is only 1 to 2 % of the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edge_demo.bundle import Bundle, model_file, verified
from edge_demo.cores import threads_in_words
from edge_demo.fresh_process import ask
from edge_demo.machine import machine
from edge_demo.profiler import LOOK, Timing, synthetic_photograph
from export.engine_process import ENGINES, LITERT
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import read_manifest
from keras_dr.core.preprocessing import Preprocessing, prepare_image


@dataclass(frozen=True)
class EngineTime:
    """One measurement of one engine with one number of threads.

    Attributes:
        engine: key of `engine_process.ENGINES`.
        version: version of the engine's package.
        threads: number of processor threads.
        run: number of the run from 0, if everything is measured several times.
        load_ms: time to import the engine and load the model.
        invoke: time of the model alone, over the counted rounds.
        peak_rss_mib: the largest resident memory of the process.
        ratio: its median invoke time divided by LiteRT's of the same run and threads.
        largest_difference: largest difference of a probability from LiteRT's, 0..1.
        repeats: number of counted rounds.
    """

    engine: str
    version: str
    threads: int
    run: int
    load_ms: float
    invoke: Timing
    peak_rss_mib: float
    ratio: float
    largest_difference: float
    repeats: int


def engine_files(bundle_folder: Path, engines: str) -> dict[str, Path]:
    """Return the files that LiteRT and other engines run: name -> file.

    Args:
        bundle_folder: a bundle with the variants float32 and onnx.
        engines: names joined by commas, such as "onnxruntime,openvino".

    Raises:
        KerasDrError: an engine is unknown or not installed; there is no bundle; it has no ONNX file; or a file has
            changed.
    """
    names = engines.split(",")
    known = [name for name in ENGINES if name != LITERT]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise KerasDrError(
            f"There is no engine {unknown[0]!r} to compare with LiteRT.",
            f"Name one or more with --compare: {', '.join(known)}.",
        )
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise KerasDrError(
            f"The package {missing[0]} is not installed.",
            "Install it with pip install -r requirements-onnx.txt, or leave it out of --compare.",
        )
    bundle = Bundle.load(bundle_folder)
    manifest = read_manifest(bundle_folder, "bundle")
    if "onnx" not in manifest:
        raise KerasDrError(
            f"The bundle {bundle_folder} has no ONNX file.", "Export the run again with --variants float32,onnx."
        )
    onnx = verified(bundle_folder, model_file(manifest, "onnx", str(bundle_folder / "bundle.json")))
    return {LITERT: bundle.model_path("float32")} | dict.fromkeys(names, onnx)


def compare_engines(
    files: dict[str, Path],
    spec: Preprocessing,
    threads: Sequence[int] = (1,),
    repeats: int = 50,
    runs: int = 1,
    image: bytes | None = None,
) -> list[EngineTime]:
    """Measure each engine with every number of threads.

    Args:
        files: from `engine_files`; LiteRT is among them.
        spec: the bundle's preprocessing.
        threads: numbers of threads.
        repeats: number of counted rounds per measurement, at least 1.
        runs: how often everything is measured; the engines take turns.
        image: the content of a photograph's file; None takes a drawn photograph.

    Raises:
        KerasDrError: an engine fails.
    """
    pixels = prepare_image(image or synthetic_photograph(), spec).tobytes()
    times = []
    for run, count in product(range(runs), threads):
        answers = {}
        for name, file in files.items():
            request = {"engine": name, "file": str(file), "size": spec.size, "threads": count, "repeats": repeats}
            what = f"a measurement of {name} with {threads_in_words(count)}"
            answers[name] = ask("export.engine_process", request, what, LOOK, 240 + 30 * repeats, pixels)
        for name, answer in answers.items():
            times.append(_engine_time(name, answer, answers[LITERT], count, run, repeats))
    return times


def _engine_time(
    name: str, answer: dict[str, Any], litert: dict[str, Any], threads: int, run: int, repeats: int
) -> EngineTime:
    """Return the measurement of an engine, from its answer and LiteRT's."""
    differences = np.array(answer["probabilities"]) - np.array(litert["probabilities"])
    return EngineTime(
        engine=name,
        version=answer["version"],
        threads=threads,
        run=run,
        load_ms=answer["load_ms"],
        invoke=Timing(**answer["invoke"]),
        peak_rss_mib=answer["peak_rss_mib"],
        ratio=answer["invoke"]["p50_ms"] / litert["invoke"]["p50_ms"],
        largest_difference=float(np.abs(differences).max()),
        repeats=repeats,
    )


def table(times: Sequence[EngineTime]) -> str:
    """Return the measurements as lines of text, with medians over the runs."""
    lines = [f"{'engine':20}  threads     load   invoke      p90        ratio  peak MiB  difference"]
    groups: dict[tuple[str, int], list[EngineTime]] = {}
    for time in times:
        groups.setdefault((f"{time.engine} {time.version}", time.threads), []).append(time)
    for (name, threads), group in groups.items():
        load_ms = median(time.load_ms for time in group)
        p50_ms = median(time.invoke.p50_ms for time in group)
        p90_ms = median(time.invoke.p90_ms for time in group)
        ratio = median(time.ratio for time in group)
        peak_mib = median(time.peak_rss_mib for time in group)
        difference = max(time.largest_difference for time in group)
        lines.append(
            f"{name:20}  {threads:7}  {load_ms:7.0f}  {p50_ms:7.2f}  {p90_ms:7.2f}  {ratio:11.2f}  {peak_mib:8.0f}  "
            f"{difference:10.1e}"
        )
    runs = 1 + max(time.run for time in times)
    lines.append(
        f"Times in milliseconds for one photograph in float32, with {times[0].repeats} repeats in a fresh process; "
        f"medians of {runs} run{'s' if runs > 1 else ''}. Ratio: invoke time divided by LiteRT's. Difference: the "
        f"largest difference of a probability from LiteRT's. {machine().cpu}."
    )
    return "\n".join(lines)
