"""Profiles a Bundle on this machine: latency, memory, size, times of operators, other engines, and a chart."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_demo import operators as operator_profiles
from edge_demo import profile_table, profiler
from edge_demo.bundle import Bundle
from edge_demo.operators import OperatorProfile
from edge_demo.profiler import Failure, Measurement, Profiling
from edge_demo.shipped import is_shipped
from edge_demo.sustained import Sustained, measure_sustained
from export import engines
from export.engines import EngineTime
from keras_dr.core import folders
from keras_dr.core.errors import KerasDrError
from keras_dr.core.outputs import check_output, is_json
from keras_dr.reports.bundle_plots import plot_sustained, plot_variants

SUSTAINED = "sustained.png"


@dataclass(frozen=True)
class Profile:
    """The measurements of a bundle.

    Attributes:
        file: profile.json.
        chart: picture of latency against kappa of each variant; None if parity.json holds no kappa.
        measurements: one per variant, number of threads and run.
        failures: the measurements that are missing among them, because their process crashed or did not end.
        operators: time of each kind of operator, per model; empty unless requested.
        engines: times of LiteRT and other engines on the same weights; empty unless requested.
        sustained: grading without a pause; empty unless requested. Its chart is sustained.png.
    """

    file: Path
    chart: Path | None
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...] = ()
    operators: Sequence[OperatorProfile] = ()
    engines: Sequence[EngineTime] = ()
    sustained: Sequence[Sustained] = ()

    def __str__(self) -> str:
        """Return the tables as text."""
        parts = [profile_table.table(Profiling(self.measurements, self.failures))]
        if self.operators:
            parts.append(operator_profiles.table(self.operators))
        if self.engines:
            parts.append(engines.table(self.engines))
        parts += map(str, self.sustained)
        return "\n".join(parts)


def profile(
    bundle: Bundle | Path | str,
    out: Path | str | None = None,
    *,
    image: Path | str | None = None,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] = (1, 2),
    repeats: int = 50,
    runs: int = 1,
    operators: bool = False,
    compare: Sequence[str] = (),
    cpus: Sequence[int] | None = None,
    sustained_minutes: float = 0.0,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Measure latency, memory and size of each model of a bundle, each in a fresh process without TensorFlow.

    Args:
        bundle: the Bundle, its folder, or the name of a shipped grader.
        out: the folder for profile.json and its chart; by default the bundle's folder. A shipped grader needs it.
        image: the photograph to grade; by default a drawn one.
        variants: the models to measure; by default all models of the bundle.
        threads: numbers of processor threads.
        repeats: number of counted rounds per measurement, 1 or more.
        runs: how often the whole measurement is repeated, to show the variation.
        operators: whether the time of each operator is measured as well.
        compare: other engines for the float32 model: "onnxruntime", "openvino".
        cpus: numbers of the cores to measure on; by default all that this process may use.
        sustained_minutes: for how many minutes it also grades without a pause; 0 leaves that out.
        overwrite: whether files of these names are replaced even if no profile wrote them; by default this is an error.
        progress: called with the name of the next measurement.

    Returns:
        The measurements.

    Raises:
        KerasDrError: there is no bundle, a shipped grader has no `out`, a variant or engine is unknown, a model has
            changed, or every process crashed.

    Example:
        >>> profile = dr.profile("bundles/idrid", threads=[1])
        >>> profile.measurements[0].total.p50_ms
        41.3
    """
    bundle = Bundle.load(bundle)
    if out is None and is_shipped(bundle.folder):
        message = "The profile of a shipped grader is not written into the package."
        raise KerasDrError(message, "Name a folder for it with --out.")
    folder = Path(out) if out is not None else bundle.folder
    files = engines.engine_files(bundle.folder, ",".join(compare)) if compare else {}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "profile.json"
    _check_files(file, [] if image is None else [Path(image)], overwrite)
    photograph = Path(image).read_bytes() if image is not None else None
    measured = profiler.profile(bundle.folder, variants, threads, photograph, repeats, progress, runs, cpus)
    by_operator: list[OperatorProfile] = []
    if operators:
        by_operator = operator_profiles.profile_operators(bundle.folder, variants, threads, repeats, progress)
    by_engine: list[EngineTime] = []
    if files:
        by_engine = engines.compare_engines(files, bundle.preprocessing, threads, repeats, runs, photograph)
    long_runs: list[Sustained] = []
    if sustained_minutes:
        content = photograph or profiler.synthetic_photograph()
        long_runs = measure_sustained(bundle.folder, variants, threads, sustained_minutes, content, cpus, progress)
        plot_sustained(folder / SUSTAINED, [asdict(run) for run in long_runs])
    profiler.write_json(file, measured, operators=by_operator, engines=by_engine, sustained=long_runs)
    chart = _draw_chart(bundle.folder / "parity.json", file.with_suffix(".png"), measured.measurements)
    return Profile(file, chart, measured.measurements, measured.failures, by_operator, by_engine, long_runs)


def _check_files(file: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Refuse to replace files that no profile wrote; the chart belongs to the JSON file next to it."""
    check_output(file, (".json",), inputs=inputs, known=is_json("profile"), overwrite=overwrite)
    for chart in (file.with_suffix(".png"), file.with_name(SUSTAINED)):
        check_output(chart, (".png",), inputs=inputs, overwrite=overwrite or file.is_file())


def _draw_chart(parity: Path, chart: Path, measurements: Sequence[Measurement]) -> Path | None:
    """Draw the variants whose kappa is in parity.json, with the largest number of threads, and return the file."""
    figures: dict[str, Any] = folders.read_json(parity)["figures"] if parity.is_file() else {}
    most_threads = max(measurement.threads for measurement in measurements)
    rows = []
    for measurement in measurements:
        kappa = figures.get(measurement.variant, {}).get("quadratic_kappa_variant")
        if measurement.threads == most_threads and measurement.run == 0 and kappa:
            rows.append(
                {
                    "variant": measurement.variant,
                    "latency_ms": measurement.total.p50_ms,
                    "quality": kappa,
                    "size_mib": measurement.size_mib,
                    "threads": measurement.threads,
                }
            )
    if not rows:
        return None
    plot_variants(chart, rows)
    return chart
