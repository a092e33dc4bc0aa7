"""The command `grade` of a device: prints a line per photograph and writes tables, heat maps and reports."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edge_demo.grader import Grader
from edge_demo.grading import Grading
from edge_demo.loading import load_grader
from edge_demo.messages import Messages
from edge_demo.photographs import grade_file
from edge_demo.result_files import check_heatmaps, check_results, check_tables_apart, heatmap_files
from edge_demo.results import (
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
from keras_dr.core.encoding import CsvStyle, check_csv_options, check_format
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes, write_json
from keras_dr.core.image_files import SkippedFiles, check_any_exists, find_images, printable, shown
from keras_dr.core.outputs import TABLE_FORMATS, check_apart, check_place
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


def grade(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status: 1 if a photograph or a result failed, 130 after Ctrl-C."""
    from edge_demo.patients import PatientsTable, eyes_of, people_of

    messages = _messages(arguments)
    check_csv_options(arguments.excel, arguments.separator, arguments.csv)
    skipped = SkippedFiles()
    images = list(find_images(arguments.images, skipped))
    privacy = Privacy(arguments.key, arguments.identified)
    heatmaps = heatmap_files(arguments.heatmap, images, privacy) if arguments.heatmap else []
    style = CsvStyle.choose(arguments.excel, arguments.separator)
    needs_people = arguments.csv or heatmaps or arguments.dicom_out
    people = people_of(arguments.images, images, privacy) if needs_people else {}
    patients = PatientsTable.beside(arguments.csv, people, style)
    _check_files(arguments, images, heatmaps, patients)
    if arguments.threads:
        cv2.setNumThreads(arguments.threads)
    grader = load_grader(arguments, messages.warn)
    check_any_exists(arguments.images)
    if heatmaps:
        with _writing(arguments.heatmap):
            heatmaps[0].parent.mkdir(parents=True, exist_ok=True)
        check_place(heatmaps[0])
    messages.say(f"Classes: {', '.join(grader.bundle.classes)}; {grader.bundle.positive}.")
    if grader.bundle.referable:
        messages.say(grader.bundle.point_text(arguments.margin))
    if arguments.dicom_out:
        with _writing(arguments.dicom_out):
            arguments.dicom_out.mkdir(parents=True, exist_ok=True)
        check_place(arguments.dicom_out / "report.dcm")
        messages.say("The reports hold the identifiers of patients and studies, as an archive needs them.")
    graded = _grade_each(grader, images, heatmaps, eyes_of(people), arguments, messages)
    outcomes = graded.outcomes
    unwritten = graded.unwritten + _write_results(arguments, grader, graded, skipped, patients, messages)
    for line in skipped.lines():
        messages.say(f"Skipped in folders: {line}.")
    counts = count_actions(map(outcome_row, outcomes))
    messages.say(closing_line(counts))
    messages.say(notice(grader.bundle))
    if graded.interrupted:
        messages.warn(f"interrupted: {len(outcomes)} of {len(images)} photographs are done")
        return 130
    messages.check()
    return 1 if counts["failed"] or unwritten else 0


def _messages(arguments: argparse.Namespace) -> Messages:
    """Return messages that cost no file that was asked for; if none was asked for, they are the result."""
    files = (arguments.csv, arguments.json, arguments.heatmap, arguments.dicom_out)
    return Messages() if any(files) else Messages(OSError)


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
    messages: Messages,
) -> int:
    """Write the tables, name all results, and return how many tables could not be written: one stops no other."""
    for result in filter(None, (arguments.heatmap, arguments.dicom_out)):
        if graded.written[result]:
            messages.say(f"Wrote {shown(result)}")
    unwritten = 0
    for target, write in _table_writers(arguments, grader, graded, skipped, patients):
        try:
            with _writing(target):
                lines = write()
        except KerasDrError as error:
            unwritten += 1
            messages.warn(f"error: {error}")
            continue
        for line in lines:
            messages.say(line)
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
    messages: Messages,
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
                reason = _say_error(error, image, grader, arguments.debug, messages)
                graded.outcomes.append(Failure(grader.name_of(image), reason))
                continue
            graded.outcomes.append(grading)
            messages.say(describe(grading))
            for target, write in _further(grader, grading, image, heatmaps[number : number + 1], arguments):
                try:
                    with _writing(target):
                        write()
                    graded.written[target] += 1
                except KerasDrError as error:
                    graded.unwritten += 1
                    _say_error(error, image, grader, arguments.debug, messages)
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


def _say_error(error: KerasDrError, image: Path, grader: Grader, debug: bool, messages: Messages) -> str:
    """Print an error with the name of its photograph, and return its reason."""
    if debug:
        import traceback

        messages.warn(traceback.format_exc().rstrip())
    reason = shown_error(error, image, grader.privacy)
    messages.warn(f"error: {shown(grader.name_of(image))}: {reason}")
    return reason
