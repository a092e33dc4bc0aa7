"""A device's command line, `keras-dr-edge`, or `python -m edge_demo` in a clone: `arguments` lists its commands."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from edge_demo.arguments import parser
from edge_demo.bundle import Bundle
from edge_demo.grader import Grader, read_bytes
from edge_demo.grading import Grading
from edge_demo.photographs import grade_file
from edge_demo.result_files import (
    check_heatmaps,
    check_results,
    check_tables_apart,
    heatmap_files,
)
from edge_demo.results import (
    FOOTER,
    JOURNAL,
    Failure,
    Outcome,
    closing_line,
    count_actions,
    describe,
    encode_outcomes,
    is_own_result,
    notice,
    outcome_row,
    outcomes_json,
)
from edge_demo.trial import try_model
from keras_dr.core.encoding import CsvStyle, check_csv_options, check_format
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes, write_json
from keras_dr.core.image_files import SkippedFiles, check_any_exists, find_images, printable, shown
from keras_dr.core.outputs import TABLE_FORMATS, check_apart, check_place, is_json
from keras_dr.core.privacy import Privacy, shown_error

if TYPE_CHECKING:
    from edge_demo.patients import PatientsTable


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn an OSError into a KerasDrError that names the target."""
    try:
        yield
    except OSError as error:
        message = f"{printable(target)} cannot be written: {error.strerror or error}."
        raise KerasDrError(message, "Choose a folder that exists, is writable and has free space.") from error


def _load(arguments: argparse.Namespace) -> Grader:
    bundle = Bundle.load(arguments.bundle).at(arguments.operating_point, arguments.threshold)
    variant = arguments.variant or bundle.default_variant()
    try_model(bundle.model_path(variant))
    _say_doubts(bundle, [variant])
    privacy = Privacy(arguments.key, arguments.identified)
    return Grader(bundle, variant, arguments.threads, arguments.margin, privacy)


def _say_doubts(bundle: Bundle, variants: Iterable[str]) -> None:
    """Name the models that failed their comparison on standard error, a line each."""
    for doubt in filter(None, map(bundle.model_doubt, variants)):
        print(doubt, file=sys.stderr, flush=True)


def _grade(arguments: argparse.Namespace) -> int:
    from edge_demo.patients import PatientsTable, eyes_of, people_of

    check_csv_options(arguments.excel, arguments.separator, arguments.csv)
    skipped = SkippedFiles()
    images = list(find_images(arguments.images, skipped))
    privacy = Privacy(arguments.key, arguments.identified)
    heatmaps = heatmap_files(arguments.heatmap, images, privacy) if arguments.heatmap else []
    style = CsvStyle.choose(arguments.excel, arguments.separator)
    people = people_of(arguments.images, images, privacy) if arguments.csv or heatmaps else {}
    patients = PatientsTable.beside(arguments.csv, people, style)
    _check_files(arguments, images, heatmaps, patients)
    if arguments.threads:
        cv2.setNumThreads(arguments.threads)
    grader = _load(arguments)
    check_any_exists(arguments.images)
    if heatmaps:
        with _writing(arguments.heatmap):
            heatmaps[0].parent.mkdir(parents=True, exist_ok=True)
        check_place(heatmaps[0])
    print(f"Classes: {', '.join(grader.bundle.classes)}; {grader.bundle.positive}.", flush=True)
    if grader.bundle.referable:
        print(grader.bundle.point_text(arguments.margin), flush=True)
    if arguments.dicom_out:
        with _writing(arguments.dicom_out):
            arguments.dicom_out.mkdir(parents=True, exist_ok=True)
        check_place(arguments.dicom_out / "report.dcm")
        print("The reports hold the identifiers of patients and studies, as an archive needs them.", flush=True)
    graded = _grade_each(grader, images, heatmaps, eyes_of(people) if heatmaps else {}, arguments)
    outcomes = graded.outcomes
    unwritten = graded.unwritten + _write_results(arguments, grader, graded, skipped, patients)
    for line in skipped.lines():
        print(f"Skipped in folders: {line}.")
    counts = count_actions(map(outcome_row, outcomes))
    print(closing_line(counts))
    print(notice(grader.bundle))
    if graded.interrupted:
        print(f"interrupted: {len(outcomes)} of {len(images)} photographs are done", file=sys.stderr)
        return 130
    return 1 if counts["failed"] or unwritten else 0


def _check_files(
    arguments: argparse.Namespace, images: Sequence[Path], heatmaps: Sequence[Path], patients: "PatientsTable"
) -> None:
    """Check before the work that every result can be written and replaces only an earlier result."""
    inputs = (arguments.bundle, *arguments.images, *images)
    own_result = is_own_result()
    tables = [(arguments.json, (".json",)), (arguments.csv, TABLE_FORMATS)]
    check_results([(file, formats, own_result) for file, formats in tables if file], inputs, arguments.overwrite)
    patients.check(inputs, arguments.overwrite)
    check_heatmaps(arguments.heatmap, heatmaps, inputs, arguments.overwrite)
    if arguments.dicom_out:
        check_apart(arguments.dicom_out, inputs)
    if arguments.csv:
        check_format(arguments.csv.suffix.lower())
    check_tables_apart([file for file, _ in tables if file], arguments.heatmap, heatmaps)


def _write_results(
    arguments: argparse.Namespace,
    grader: Grader,
    graded: "_Graded",
    skipped: SkippedFiles,
    patients: "PatientsTable",
) -> int:
    """Write the tables, name all results, and return how many tables could not be written: one stops no other."""
    for result in filter(None, (arguments.heatmap, arguments.dicom_out)):
        if graded.written[result]:
            print(f"Wrote {shown(result)}")
    unwritten = 0
    for target, write in _table_writers(arguments, grader, graded, skipped, patients):
        try:
            with _writing(target):
                lines = write()
        except KerasDrError as error:
            unwritten += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        print("".join(f"{line}\n" for line in lines), end="")
    return unwritten


def _table_writers(
    arguments: argparse.Namespace,
    grader: Grader,
    graded: "_Graded",
    skipped: SkippedFiles,
    patients: "PatientsTable",
) -> Iterator[tuple[Path, Callable[[], list[str]]]]:
    """Each table, and the function that writes it and returns lines that name it."""

    def write_content() -> list[str]:
        content = outcomes_json(grader.bundle, grader.variant, graded.outcomes)
        if graded.interrupted:
            content["interrupted"] = True
        write_json(arguments.json, content | {"skipped": dict(skipped.counts)})
        return [f"Wrote {shown(arguments.json)}"]

    def write_table() -> list[str]:
        suffix = arguments.csv.suffix.lower()
        write_bytes(arguments.csv, encode_outcomes(grader.bundle, graded.outcomes, suffix, patients.style))
        return [f"Wrote {shown(arguments.csv)}"]

    if arguments.json:
        yield arguments.json, write_content
    if arguments.csv:
        yield arguments.csv, write_table
        yield patients.file, partial(patients.write, graded.outcomes, grader.bundle.classes)


@dataclass
class _Graded:
    """What `_grade_each` did.

    Attributes:
        outcomes: the results of the photographs.
        written: folder or file of heat maps or reports, as it was given -> how many photographs have theirs.
        unwritten: number of heat maps and reports that could not be written.
        interrupted: whether Ctrl-C ended it before the last photograph.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    written: Counter[Path] = field(default_factory=Counter)
    unwritten: int = 0
    interrupted: bool = False


def _grade_each(
    grader: Grader,
    images: Sequence[Path],
    heatmaps: Sequence[Path],
    eyes: Mapping[str, str],
    arguments: argparse.Namespace,
) -> _Graded:
    """Grade each photograph, print its result, draw its heat map and write its report.

    An error stops only its own photograph, and a heat map or a report that fails costs no grading. Ctrl-C ends the
    work; what was graded before is kept.
    """
    graded = _Graded()
    try:
        for number, image in enumerate(images):
            try:
                grading = grade_file(grader, image)
                grading = replace(grading, eye=eyes.get(grading.path, grading.eye))
            except KerasDrError as error:
                reason = _say_error(error, image, grader, arguments.debug)
                graded.outcomes.append(Failure(grader.name_of(image), reason))
                continue
            graded.outcomes.append(grading)
            print(describe(grading), flush=True)
            for target, write in _further(grader, grading, image, heatmaps[number : number + 1], arguments):
                try:
                    with _writing(target):
                        write()
                    graded.written[target] += 1
                except KerasDrError as error:
                    graded.unwritten += 1
                    _say_error(error, image, grader, arguments.debug)
    except KeyboardInterrupt:
        if not graded.outcomes:
            raise  # an earlier table is not replaced by an empty one
        graded.interrupted = True
    return graded


def _further(
    grader: Grader, grading: Grading, image: Path, heatmaps: Sequence[Path], arguments: argparse.Namespace
) -> Iterator[tuple[Path, Callable[[], object]]]:
    """What else is written of a photograph: where, as it was given, and the function that writes it."""
    for heatmap in heatmaps:
        yield arguments.heatmap, partial(grading.save_picture, heatmap)
    if arguments.dicom_out:
        from edge_demo.dicom_out import write_dicom

        folder = arguments.dicom_out
        yield folder, partial(write_dicom, grading, image, grader.bundle, grader.variant, folder)


def _say_error(error: KerasDrError, image: Path, grader: Grader, debug: bool) -> str:
    """Print an error with the name of its photograph, and return its reason."""
    if debug:
        import traceback

        traceback.print_exc()
    reason = shown_error(error, image, grader.privacy)
    print(f"error: {shown(grader.name_of(image))}: {reason}", file=sys.stderr)
    return reason


def _watch(arguments: argparse.Namespace) -> int:
    from edge_demo.journal import check_journal
    from edge_demo.watch import check_folder, watch

    check_folder(arguments.folder)  # before the model is tried
    grader = _load(arguments)
    journal = arguments.journal or arguments.folder / JOURNAL
    check_apart(journal, [arguments.bundle])
    check_journal(journal)
    new: Counter[str] = Counter()

    def say(line: dict[str, Any]) -> None:
        if "note" in line:
            print(line["note"], flush=True)
            return
        new["failed" if "error" in line else "graded"] += "renamed_from" not in line
        if "renamed_from" in line:
            said = f"graded before, as {shown(line['renamed_from'])}"
        elif "error" in line:
            said = f"error: {line['error']}"
        else:
            said = f"{line['grade']}, action: {line['action']}"
        print(f"{shown(line['file'])}: {said}", flush=True)

    print(
        f"Watching {shown(arguments.folder)}, journal {shown(journal)}; model {grader.variant}; "
        f"{grader.bundle.positive}. {grader.bundle.point_text(arguments.margin)} {notice(grader.bundle)}",
        flush=True,
    )
    watch(
        grader,
        arguments.folder,
        journal,
        arguments.interval,
        rounds=2 if arguments.once else None,
        say=say,
        reload=lambda: _load(arguments),
        rotate_mib=arguments.rotate_mib,
        warn=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if arguments.once:
        print(f"New photographs: {new['graded']} graded, {new['failed']} failed.")
    return 0


def _trail(arguments: argparse.Namespace) -> int:
    from edge_demo.trail import verify

    result = verify(arguments.journal, Privacy(arguments.key), arguments.head)
    lines = f"{result.lines} line{'' if result.lines == 1 else 's'} as written"
    if result.repaired:
        lines += f", {result.repaired} cut short by a crash and noted"
    print(f"{lines}. {result.fault or 'The trail is complete.'}")
    return 1 if result.fault else 0


def _profile(arguments: argparse.Namespace) -> int:
    from edge_demo import budgets, operators, profile_table, profiler, sustained

    inputs = [arguments.bundle, *([arguments.image] if arguments.image else [])]
    if arguments.json:
        check_results([(arguments.json, (".json",), is_json("profile"))], inputs, arguments.overwrite)
    image = read_bytes(arguments.image) if arguments.image else None
    bundle = arguments.bundle
    variants = arguments.variants
    loaded = Bundle.load(bundle)
    if variants is None:
        loaded.default_variant()  # measures none without a word if all failed
    _say_doubts(loaded, variants or loaded.models)
    threads = arguments.threads
    repeats = arguments.repeats

    def report(text: str) -> None:
        if sys.stderr.isatty():
            print(f"measuring {text}", file=sys.stderr)

    cpus = arguments.cpus
    measured = profiler.profile(bundle, variants, threads, image, repeats, report, arguments.runs, cpus)
    print(profile_table.table(measured))
    profiles: list[operators.OperatorProfile] = []
    if arguments.operators:
        profiles = operators.profile_operators(bundle, variants, threads, repeats, report)
        print(operators.table(profiles))
    long_runs: list[sustained.Sustained] = []
    if arguments.sustained:
        photograph = image or profiler.synthetic_photograph()
        minutes = arguments.sustained
        long_runs = sustained.measure_sustained(bundle, variants, threads, minutes, photograph, cpus, report)
        print("\n".join(map(str, long_runs)))
    fits = True
    if arguments.budget_ms is not None or arguments.budget_mib is not None:
        text, fits = budgets.fitting(measured.measurements, arguments.budget_ms, arguments.budget_mib)
        print(text)
    if arguments.json:
        profiler.write_json(arguments.json, measured, operators=profiles, sustained=long_runs)
        print(f"Wrote {shown(arguments.json)}")
    print(FOOTER)
    return 0 if fits and not measured.failures else 1


def _points(arguments: argparse.Namespace) -> int:
    print(Bundle.load(arguments.bundle).points_text())
    print(FOOTER)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from edge_demo.serve import serve

    def opened(address: str) -> None:
        print(f"Serving {shown(arguments.site)} at {address}; Ctrl-C ends it. {FOOTER}", flush=True)
        if arguments.open:
            import webbrowser

            webbrowser.open(address)

    serve(arguments.site, arguments.port, opened)
    return 0


COMMANDS = {"grade": _grade, "watch": _watch, "profile": _profile, "points": _points, "trail": _trail, "serve": _serve}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    The status is 0 for success and 1 for a failure, with a message. Argparse raises SystemExit with 2 for wrong usage.
    """
    arguments = parser().parse_args(words)
    try:
        return COMMANDS[arguments.command](arguments)
    except BrokenPipeError:  # `| head` closed the pipe: Python must not flush the rest into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if arguments.debug:
            raise
        text = str(error)
        if isinstance(error, OSError):
            text += ". Check the name, the permissions and the free space."
        elif not isinstance(error, KerasDrError):
            text = f"{type(error).__name__}: {error}. Pass --debug to see the traceback."
        print(f"error: {text}", file=sys.stderr)
        return 1


def run() -> None:
    """The script `keras-dr-edge`."""
    sys.exit(main())


if __name__ == "__main__":
    run()
