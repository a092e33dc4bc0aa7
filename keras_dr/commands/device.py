"""The commands that bring a run to a device: export, predict, profile."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_demo.shipped import find_bundle
from keras_dr.commands.shared import (
    Address,
    Identified,
    KeyFile,
    OperatingPointName,
    Overwrite,
    OwnThreshold,
    RunFolder,
    bar,
    command,
    done,
    say,
)

if TYPE_CHECKING:
    from keras_dr.core.encoding import CsvStyle
    from keras_dr.prediction.predict import GradedPhotographs


def export(
    run: RunFolder,
    bundle: Annotated[Path, typer.Argument(help="Folder to write.")],
    variants: Annotated[
        str, typer.Option(help="Separated by commas: float32, float16, dynamic, int8, int16x8, onnx, mediapipe.")
    ] = "float32,int8",
    prepared: Annotated[Path | None, typer.Option(help="The run's prepared set, if it was moved.")] = None,
    operating_point: OperatingPointName = None,
    threshold: OwnThreshold = None,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Export variants that fail the comparison, too.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert a run to TFLite files for a device.

    Each file is compared with the float model on validation photographs.
    """
    from keras_dr.core.errors import KerasDrError
    from keras_dr.core.folders import check_target, read_json, read_manifest
    from keras_dr.recipe import ParityLimits

    read_manifest(run, "run")  # a missing run and an existing bundle are reported before TensorFlow starts
    check_target(bundle, "bundle", overwrite)
    known_variants = [*ParityLimits.model_fields, "mediapipe"]
    unknown = [name for name in variants.split(",") if name not in known_variants]
    if unknown:
        raise KerasDrError(
            f"The variant {unknown[0]!r} is not one of {', '.join(known_variants)}.", "Correct --variants."
        )
    from keras_dr import export as export_run
    from keras_dr.reports.bundle import bundle_text

    with bar("export") as progress:
        export_run(
            run,
            bundle,
            variants.split(","),
            prepared=prepared,
            operating_point=operating_point,
            threshold=threshold,
            allow_drift=allow_drift,
            overwrite=overwrite,
            progress=progress,
        )
    say(bundle_text(read_manifest(bundle, "bundle"), read_json(bundle / "parity.json")["figures"]))
    done(bundle, command("profile", bundle))


def web(
    bundle: Annotated[Path, typer.Argument(parser=find_bundle, help="Folder that export wrote, or a shipped grader.")],
    site: Annotated[Path, typer.Argument(help="Folder to write.")],
    variants: Annotated[
        str | None, typer.Option(help="Models to include, separated by commas; default: float32 and int8.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a static site that grades photographs in a browser.

    Nothing leaves the device, and the page works without a network after it has been loaded once.
    """
    from edge_demo.site import export_web

    export_web(bundle, site, variants.split(",") if variants else None, overwrite)
    done(site, shlex.join(["python", "-m", "edge_demo", "serve", str(site), "--open"]))


def predict(
    source: Annotated[
        Path, typer.Argument(parser=find_bundle, help="Folder that train or export wrote, or a shipped grader.")
    ],
    images: Annotated[list[Path], typer.Argument(help="Photographs, folders, or CSV files that list photographs.")],
    out: Annotated[Path | None, typer.Option(help="File: .csv, .json, .xlsx or .parquet; with ray, a folder.")] = None,
    excel: Annotated[bool, typer.Option("--excel", help="CSV for a spreadsheet: UTF-8 mark, four decimals.")] = False,
    separator: Annotated[
        str | None, typer.Option(help="In CSV: comma, semicolon, tab, or locale (usual on this computer).")
    ] = None,
    heatmaps: Annotated[
        Path | None,
        typer.Option("--heatmaps", "--heatmap", help="Folder for a picture per photograph: heat map, grade, reason."),
    ] = None,
    operating_point: OperatingPointName = None,
    threshold: OwnThreshold = None,
    engine: Annotated[str, typer.Option(help="litert, keras (for runs only), or ray (on a cluster).")] = "litert",
    address: Address = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of Ray workers; default: one per core.")] = None,
    identified: Identified = False,
    key: KeyFile = None,
    overwrite: Overwrite = False,
) -> None:
    """Grade photographs with a run or a bundle.

    This is for workstations: it grades on all cores, and also with runs. The command keras-dr-edge grade gives the
    same results on a device, without TensorFlow.

    The photographs need not be prepared. A run is converted to a float32 TFLite file once.

    The result is predictions.csv, unless --out names another file. With --engine ray (docs/scaling.md) it is a folder
    of parts, by default predictions.parquet; after an interruption, the same command continues where it stopped.
    """
    from edge_demo.patients import PatientsTable, people_of
    from edge_demo.results import is_own_result
    from keras_dr.core.encoding import CsvStyle, check_csv_options, check_format
    from keras_dr.core.folders import check_writable, write_bytes
    from keras_dr.core.image_files import SkippedFiles, find_images
    from keras_dr.core.outputs import TABLE_FORMATS, check_output
    from keras_dr.core.privacy import Privacy
    from keras_dr.prediction.predict import ENGINES
    from keras_dr.prediction.predict import predict as grade
    from keras_dr.workers.ray_cluster import check_engine

    check_engine(engine, (*ENGINES, "ray"), address)
    check_csv_options(excel, separator, None if engine == "ray" else out or Path("predictions.csv"))
    style = CsvStyle.choose(excel, separator)
    skipped = SkippedFiles()
    if engine == "ray":
        _check_cluster(heatmaps, identified, key)
        target = out or Path("predictions.parquet")
        _predict_on_cluster(source, images, target, address, workers, operating_point, threshold, overwrite)
        return
    file = out or Path("predictions.csv")
    photographs = list(find_images(images, skipped))
    inputs = (source, *images, *photographs)
    check_output(file, (*TABLE_FORMATS, ".json"), inputs=inputs, known=is_own_result(), overwrite=overwrite)
    suffix = file.suffix.lower()
    check_format(suffix)
    privacy = Privacy(key, identified)
    people = people_of(images, photographs, privacy) if suffix in TABLE_FORMATS else {}
    patients = PatientsTable.beside(file, people, style)
    patients.check(inputs, overwrite)
    check_writable(file)
    with bar("predict") as progress:
        graded = grade(
            source,
            photographs,
            engine,
            progress,
            operating_point=operating_point,
            threshold=threshold,
            heatmaps=heatmaps,
            overwrite=overwrite,
            privacy=privacy,
        )
    write_bytes(file, _encode(graded, suffix, style, skipped.counts))
    for line in patients.write(graded.outcomes, graded.bundle.classes):
        say(line)
    say(f"Classes: {', '.join(graded.bundle.classes)}; {graded.bundle.positive}.")
    if graded.bundle.referable:
        say(graded.bundle.point_text())
    if heatmaps:
        say(f"Pictures: {heatmaps}")
    _report(file, graded.counts, graded.failures, skipped.lines())


def _check_cluster(heatmaps: Path | None, identified: bool, key: Path | None) -> None:
    """Refuse options that the engine ray does not take."""
    from keras_dr.core.errors import KerasDrError

    if heatmaps:
        raise KerasDrError("The engine ray draws no heat maps.", "Leave --engine or --heatmaps out.")
    if identified or key:
        message = "The engine ray writes no patients, so that it takes neither --identified nor --key."
        raise KerasDrError(message, "Leave them or --engine out.")


def _encode(graded: "GradedPhotographs", suffix: str, style: "CsvStyle", skipped: Mapping[str, int]) -> bytes:
    """Return the content of the file of results in the format of its suffix."""
    from edge_demo.results import encode_outcomes, outcomes_json
    from keras_dr.core.folders import to_json

    if suffix == ".json":
        about = outcomes_json(graded.bundle, graded.bundle.default_variant(), graded.outcomes)
        return to_json(about | {"skipped": dict(skipped)})
    return encode_outcomes(graded.bundle, graded.outcomes, suffix, style)


def _predict_on_cluster(
    source: Path,
    images: list[Path],
    out: Path,
    address: str | None,
    workers: int | None,
    operating_point: str | None,
    threshold: float | None,
    overwrite: bool,
) -> None:
    from keras_dr.core.image_files import SkippedFiles
    from keras_dr.core.outputs import check_apart
    from keras_dr.prediction.cluster import check_parts, grade_on_cluster
    from keras_dr.prediction.predict import bundle_at

    skipped = SkippedFiles()
    check_parts(out)
    check_apart(out, (source, *images))
    with bar("predict") as progress:
        counts = grade_on_cluster(
            bundle_at(source),
            images,
            out,
            address=address,
            workers=workers,
            operating_point=operating_point,
            threshold=threshold,
            overwrite=overwrite,
            progress=progress,
            skipped=skipped,
        )
    _report(out, counts.actions(), counts.failures, skipped.lines())


def _report(
    result: Path, counts: Mapping[str, int], failures: Sequence[tuple[str, str]], skipped: Sequence[str]
) -> None:
    """Print the failures, the skipped files and the counts, and exit with 1 if there is a failure."""
    from edge_demo.results import closing_line
    from keras_dr.core.image_files import shown
    from keras_dr.reports.tables import counted

    for image, message in failures:
        typer.echo(f"Error: {shown(image)}: {message}", err=True)
    if counts["failed"] > len(failures):
        more = counted(counts["failed"] - len(failures), "more photograph", "more photographs")
        typer.echo(f"Error: {more} could not be graded; see the column error.", err=True)
    for line in skipped:
        say(f"Skipped in folders: {line}.")
    say(closing_line(counts))
    say(f"Result: {shown(result)}")
    if counts["failed"]:
        raise typer.Exit(1)


def points(
    source: Annotated[
        Path, typer.Argument(parser=find_bundle, help="Folder that train or export wrote, or a shipped grader.")
    ],
) -> None:
    """List the operating points of a run or a bundle in words."""
    from keras_dr.core.folders import MANIFESTS, read_manifest
    from keras_dr.core.grade_sets import GradeSets, sets_text
    from keras_dr.core.operating_point import points_of, points_text
    from keras_dr.datasets.grades import task_of
    from keras_dr.training.run_manifest import damaged

    if not (source / MANIFESTS["run"]).is_file():
        from edge_demo.bundle import Bundle

        say(Bundle.load(source).points_text())
        return
    about = read_manifest(source, "run")
    try:
        task = task_of(about)
        points = points_of(about)
        sets = GradeSets.from_dict(about["grade_sets"]) if about.get("grade_sets") else None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise damaged(source, f"{type(error).__name__}: {error}") from error
    say(points_text(points, task.positive, [task.classes[index] for index in task.referable]))
    if len(task.classes) > 2:
        say(sets_text(sets, task.positive))


def profile(
    bundle: Annotated[Path, typer.Argument(parser=find_bundle, help="Folder that export wrote, or a shipped grader.")],
    out: Annotated[Path | None, typer.Option(help="Folder for profile.json; default: the bundle.")] = None,
    image: Annotated[Path | None, typer.Option(help="Photograph to grade; default: a drawn photograph.")] = None,
    threads: Annotated[str, typer.Option(help="Numbers of threads, separated by commas.")] = "1,2",
    repeats: Annotated[int, typer.Option(min=1, help="Number of timed rounds per model.")] = 50,
    runs: Annotated[int, typer.Option(min=1, help="Repeat the whole measurement N times to show the variation.")] = 1,
    operators: Annotated[bool, typer.Option("--operators", help="Report the time of each kind of operator.")] = False,
    compare: Annotated[
        str | None, typer.Option(help="Other engines for float32, separated by commas: onnxruntime, openvino.")
    ] = None,
    cpus: Annotated[str | None, typer.Option(help="Cores to measure on, such as 0,1 or 0-3; default: all.")] = None,
    sustained: Annotated[
        float, typer.Option(min=0, help="Also grade without a pause for so many minutes, and draw a chart.")
    ] = 0,
    budget_ms: Annotated[
        float | None, typer.Option(min=0, help="Report which variants meet this latency; exit 1 if none.")
    ] = None,
    budget_mib: Annotated[
        float | None, typer.Option(min=0, help="Report which variants meet this memory; exit 1 if none.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure latency, memory and size of a bundle's models.

    Each model is measured in a new process without TensorFlow.
    """
    from edge_demo import budgets, cores
    from keras_dr import profile as profile_bundle

    result = profile_bundle(
        bundle,
        out,
        image=image,
        threads=cores.parse_threads(threads),
        repeats=repeats,
        runs=runs,
        operators=operators,
        compare=compare.split(",") if compare else (),
        cpus=cores.parse_cpus(cpus) if cpus else None,
        sustained_minutes=sustained,
        overwrite=overwrite,
    )
    say(str(result))
    some_fit = True
    if budget_ms is not None or budget_mib is not None:
        text, some_fit = budgets.fitting(result.measurements, budget_ms, budget_mib)
        say(text)
    if result.chart:
        say(f"Chart: {result.chart}")
    done(result.file, shlex.join(["python", "-m", "edge_demo", "grade", str(bundle), "IMAGE"]))
    if not some_fit or result.failures:
        raise typer.Exit(1)
