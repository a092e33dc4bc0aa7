"""LiteRT against other engines on the same weights: one run, the same threads, a fresh process each, in turns.

LiteRT runs float32.tflite, the others float32.onnx. All compute in float32 and answer one photograph at a time.

Measured, processor time of an invoke with one thread on a busy machine (Xeon with AVX-512), medians of processes in
turns. MobileNetV2 at 512 pixels, two sets of three: LiteRT 46 ms, ONNX Runtime 1.02 and 1.07 times that, OpenVINO .97
and 1.02. DenseNet121 at 224, random weights, two rounds: LiteRT 58 ms, ONNX Runtime .88, OpenVINO .86. There, by
`edge_demo.operators`, convolutions take 86 % of LiteRT's time, concatenations 5 % as copies, and the batch norms in
front of convolutions 6 to 9 % as operators of their own; the gap is as large as those two, which others may fuse. A
depthwise convolution in place of such a batch norm saves half of its time, 1 to 2 % of the whole: not worth it.
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
from edge_demo.fresh_process import ask
from edge_demo.machine import machine
from edge_demo.profiler import LOOK, Timing, synthetic_photograph
from export.engine_process import ENGINES, LITERT
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import read_manifest
from keras_dr.core.preprocessing import Preprocessing, prepare_image


@dataclass(frozen=True)
class EngineTime:
    """One engine with one number of threads, once.

    Attributes:
        engine: key of `engine_times.ENGINES`.
        version: of its package.
        threads: processor threads.
        run: 0, 1, ... where everything is measured several times.
        load_ms: import of the engine and model into memory.
        invoke: of the model alone, over the counted rounds.
        peak_rss_mib: the process's largest resident memory.
        ratio: its median invoke by LiteRT's of the same run and threads.
        largest_difference: of a probability from LiteRT's, 0..1.
        repeats: counted rounds.
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
    """What LiteRT and other engines are to run: name -> file.

    Args:
        bundle_folder: a bundle with float32 and onnx.
        engines: names joined by commas, such as "onnxruntime,openvino".

    Raises:
        KerasDrError: an unknown engine, one that is not installed, no bundle, no ONNX file in it, or an altered file.
    """
    names, known = engines.split(","), [name for name in ENGINES if name != LITERT]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise KerasDrError(f"engines among {', '.join(known)}", repr(unknown[0]), "Correct --compare.")
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        remedy = "Install it with pip install -r requirements-onnx.txt, or leave it out of --compare."
        raise KerasDrError(f"the package {missing[0]}", "none", remedy)
    bundle = Bundle.load(bundle_folder)
    manifest = read_manifest(bundle_folder, "bundle")
    if "onnx" not in manifest:
        remedy = "Export the run again with --variants float32,onnx."
        raise KerasDrError(f"an ONNX file in the bundle {bundle_folder}", "none", remedy)
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
        files: as `engine_files` has them, LiteRT among them.
        spec: of the bundle's preprocessing.
        threads: numbers of threads.
        repeats: counted rounds a measurement, 1 or more.
        runs: how often all of it is done; the engines take turns.
        image: a photograph's file; None takes a drawn one.

    Raises:
        KerasDrError: an engine that fails.
    """
    pixels = prepare_image(image or synthetic_photograph(), spec).tobytes()
    times = []
    for run, count in product(range(runs), threads):
        answers = {}
        for name, file in files.items():
            request = {"engine": name, "file": str(file), "size": spec.size, "threads": count, "repeats": repeats}
            what = f"a measurement of {name} with {count} thread{'s' if count > 1 else ''}"
            answers[name] = ask("export.engine_process", request, what, LOOK, 240 + 30 * repeats, pixels)
        times += [_time(name, found, answers[LITERT], count, run, repeats) for name, found in answers.items()]
    return times


def _time(name: str, found: dict[str, Any], litert: dict[str, Any], threads: int, run: int, repeats: int) -> EngineTime:
    one, other = (np.array(each["probabilities"]) for each in (found, litert))
    return EngineTime(
        engine=name,
        version=found["version"],
        threads=threads,
        run=run,
        load_ms=found["load_ms"],
        invoke=Timing(**found["invoke"]),
        peak_rss_mib=found["peak_rss_mib"],
        ratio=found["invoke"]["p50_ms"] / litert["invoke"]["p50_ms"],
        largest_difference=float(np.abs(one - other).max()),
        repeats=repeats,
    )


def table(times: Sequence[EngineTime]) -> str:
    """The engines as lines of text; of several runs the medians."""
    lines = [f"{'engine':20}  threads     load   invoke      p90  by LiteRT's  peak MiB  difference"]
    groups: dict[tuple[str, int], list[EngineTime]] = {}
    for one in times:
        groups.setdefault((f"{one.engine} {one.version}", one.threads), []).append(one)
    for (name, threads), some in groups.items():
        load, p50, p90, ratio, peak = (
            median(values)
            for values in zip(
                *((t.load_ms, t.invoke.p50_ms, t.invoke.p90_ms, t.ratio, t.peak_rss_mib) for t in some), strict=True
            )
        )
        worst = max(one.largest_difference for one in some)
        lines.append(
            f"{name:20}  {threads:7}  {load:7.0f}  {p50:7.2f}  {p90:7.2f}  {ratio:11.2f}  {peak:8.0f}  {worst:10.1e}"
        )
    runs = 1 + max(one.run for one in times)
    lines.append(
        f"Milliseconds; one photograph, float32, {times[0].repeats} repeats in a fresh process, medians of {runs} "
        f"run{'s' if runs > 1 else ''}; difference: of a probability from LiteRT's. {machine().cpu}."
    )
    return "\n".join(lines)
