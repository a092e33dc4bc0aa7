"""The command line of a device: `keras-dr-edge grade | watch | profile`, or `python -m edge_demo` in a clone."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from edge_demo.bundle import Bundle
from edge_demo.grader import MARGIN, Grader, read_bytes
from edge_demo.photographs import check_heatmaps_apart, grade_file, heatmap_files
from edge_demo.results import (
    FOOTER,
    HEATMAP,
    Failure,
    Outcome,
    closing_line,
    count_actions,
    describe,
    encode_outcomes,
    is_own_result,
    outcome_row,
    outcomes_json,
)
from edge_demo.trial import try_model
from edge_demo.watch import JOURNAL, check_journal, watch
from keras_dr import __version__
from keras_dr.core.encoding import SEPARATORS, CsvStyle, check_format
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import write_bytes, write_json
from keras_dr.core.image_files import SkippedFiles, find_images, printable, shown
from keras_dr.core.outputs import TABLE_FORMATS, Known, check_apart, check_output, is_json, is_png

DESCRIPTION = "Grade fundus photographs on this device, or measure how fast it does so."
MOST_SECONDS = 86_400  # a day; time.sleep raises an OverflowError for centuries
BUNDLE_HELP = "the folder that cli.py export wrote"
VARIANT_HELP = "the model to use (default: int8 if the bundle has it and it passed the comparison at export)"
THREADS_HELP = "number of processor threads (default: chosen by LiteRT)"
MARGIN_HELP = f"scores less than this below the threshold count as uncertain and are referred (default: {MARGIN})"


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _threads(text: str) -> list[int]:
    from edge_demo import profiler  # grading starts without it

    try:
        return profiler.parse_threads(text)
    except KerasDrError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _thread_count(text: str) -> int:
    return _threads(str(_positive(text)))[0]


def _margin(text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = -1.0
    if not 0 <= margin <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability from 0 to 1")
    return margin


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MOST_SECONDS}")
    return seconds


def _names(text: str) -> list[str]:
    return text.split(",")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    main_parser = argparse.ArgumentParser("keras-dr-edge", description=DESCRIPTION, epilog=FOOTER)
    main_parser.add_argument("--version", action="version", version=f"keras_dr {__version__}")
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="grade|watch|profile")
    _add_grade(commands)
    _add_watch(commands)
    _add_profile(commands)
    return main_parser


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """Add a command with the arguments that all commands share."""
    command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=FOOTER)
    command.add_argument("bundle", type=Path, help=BUNDLE_HELP)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run)
    return command


def _add_overwrite(command: argparse.ArgumentParser) -> None:
    command.add_argument("--overwrite", action="store_true", help="replace files that this command did not write")


def _add_grade(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    grade = _add_command(commands, "grade", "grade photographs", _grade)
    grade.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="a photograph, a folder, or a CSV list of photographs"
    )
    grade.add_argument("--variant", help=VARIANT_HELP)
    grade.add_argument("--threads", type=_thread_count, metavar="N", help=THREADS_HELP)
    grade.add_argument("--margin", type=_margin, default=MARGIN, metavar="P", help=MARGIN_HELP)
    grade.add_argument(
        "--heatmap", type=Path, metavar="OUT", help="write the heat maps: a .png file for one photograph, or a folder"
    )
    grade.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    grade.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the results as a table: a .csv, .xlsx or .parquet file"
    )
    grade.add_argument(
        "--excel", action="store_true", help="write the CSV file for spreadsheets: with a UTF-8 mark and four decimals"
    )
    grade.add_argument(
        "--separator", choices=(*SEPARATORS, "locale"), help="the separator of the CSV file (default: comma)"
    )
    _add_overwrite(grade)


def _add_watch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    watcher = _add_command(commands, "watch", "grade the photographs that a camera writes into a folder", _watch)
    watcher.add_argument("folder", type=Path, help="the folder that the camera writes to")
    watcher.add_argument(
        "--journal", type=Path, metavar="FILE", help=f"the file to append the results to (default: FOLDER/{JOURNAL})"
    )
    watcher.add_argument("--variant", help=VARIANT_HELP)
    watcher.add_argument("--threads", type=_thread_count, metavar="N", help=THREADS_HELP)
    watcher.add_argument("--margin", type=_margin, default=MARGIN, metavar="P", help=MARGIN_HELP)
    watcher.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="seconds between two searches for new photographs (default: 1)",
    )
    watcher.add_argument("--once", action="store_true", help="grade the photographs in the folder, then end")


def _add_profile(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "measure latency, memory and size on this device"
    profile = _add_command(commands, "profile", summary, _profile)
    profile.add_argument("--image", type=Path, metavar="FILE", help="the photograph to grade (default: a drawn one)")
    profile.add_argument("--variants", type=_names, metavar="A,B", help="the models to measure (default: all)")
    profile.add_argument(
        "--threads", type=_threads, default=[1, 2], metavar="N,N", help="numbers of processor threads (default: 1,2)"
    )
    profile.add_argument(
        "--repeats", type=_positive, default=50, metavar="N", help="rounds per measurement (default: 50)"
    )
    profile.add_argument(
        "--runs",
        type=_positive,
        default=1,
        metavar="N",
        help="repeat the whole measurement N times to show the variation",
    )
    profile.add_argument(
        "--budget-ms",
        type=float,
        metavar="MS",
        help="report which models meet this 90th percentile of the latency; exit with 1 if none does",
    )
    profile.add_argument(
        "--budget-mib",
        type=float,
        metavar="MIB",
        help="report which models meet this peak memory; exit with 1 if none does",
    )
    profile.add_argument("--operators", action="store_true", help="report the time of each kind of operator")
    profile.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON")
    _add_overwrite(profile)


def _check_results(
    files: Iterable[tuple[Path, tuple[str, ...], Known]], inputs: Sequence[Path], overwrite: bool
) -> None:
    """Check before the work that every result can be written and replaces only an earlier result.

    Args:
        files: each file, the suffixes that it may have, and the function that recognises an earlier result.
        inputs: the bundle, the photographs and the lists that name them.
        overwrite: whether other files may be replaced.

    Raises:
        KerasDrError: see `check_output`; or two results have the same name.
    """
    taken: set[Path] = set()
    for file, formats, known in files:
        if file.resolve() in taken:
            raise KerasDrError(
                f"Two results would be written to {printable(file)}.", "Choose another name for one of them."
            )
        taken.add(file.resolve())
        check_output(file, formats, inputs=inputs, known=known, overwrite=overwrite)


def _check_heatmaps(folder: Path | None, heatmaps: Sequence[Path], inputs: Sequence[Path], overwrite: bool) -> None:
    """Check the heat maps as `_check_results` does; their folder need not exist yet."""
    for file in heatmaps:
        check_apart(file, inputs)
    in_existing_folders = [file for file in heatmaps if file.parent.is_dir()]
    _check_results([(file, (".png",), is_png(HEATMAP)) for file in in_existing_folders], inputs, overwrite)
    if folder and folder.exists() and not folder.is_dir() and folder not in heatmaps:
        message = f"The heat maps cannot be written to {printable(folder)}: a file has that name."
        raise KerasDrError(message, "Choose the name of a folder.")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn an OSError into a KerasDrError that names the target."""
    try:
        yield
    except OSError as error:
        message = f"{printable(target)} cannot be written: {error.strerror or error}."
        raise KerasDrError(message, "Choose a folder that exists, is writable and has free space.") from error


def _load(arguments: argparse.Namespace) -> Grader:
    bundle = Bundle.load(arguments.bundle)
    try_model(bundle.model_path(arguments.variant or bundle.default_variant()))
    return Grader(bundle, arguments.variant, arguments.threads, arguments.margin)


def _grade(arguments: argparse.Namespace) -> int:
    skipped = SkippedFiles()
    images = list(find_images(arguments.images, skipped))
    heatmaps = heatmap_files(arguments.heatmap, images) if arguments.heatmap else []
    style = CsvStyle.choose(arguments.excel, arguments.separator)
    inputs = (arguments.bundle, *arguments.images, *images)
    own_result = is_own_result()
    tables = [(arguments.json, (".json",)), (arguments.csv, TABLE_FORMATS)]
    _check_results([(file, formats, own_result) for file, formats in tables if file], inputs, arguments.overwrite)
    _check_heatmaps(arguments.heatmap, heatmaps, inputs, arguments.overwrite)
    check_heatmaps_apart(heatmaps, arguments.images)
    if arguments.csv:
        check_format(arguments.csv.suffix.lower())
    _check_not_a_heatmap(arguments, heatmaps)
    if arguments.threads:
        cv2.setNumThreads(arguments.threads)
    grader = _load(arguments)
    if heatmaps:
        with _writing(arguments.heatmap):
            heatmaps[0].parent.mkdir(parents=True, exist_ok=True)
    print(f"Classes: {', '.join(grader.bundle.classes)}; {grader.bundle.positive}.", flush=True)
    outcomes = _grade_each(grader, images, heatmaps, arguments.debug)
    if arguments.json:
        with _writing(arguments.json):
            content = outcomes_json(grader.bundle, grader.variant, outcomes)
            write_json(arguments.json, content | {"skipped": dict(skipped.counts)})
    if arguments.csv:
        with _writing(arguments.csv):
            table = encode_outcomes(grader.bundle, outcomes, arguments.csv.suffix.lower(), style)
            write_bytes(arguments.csv, table)
    for result in filter(None, (arguments.heatmap, arguments.json, arguments.csv)):
        print(f"Wrote {shown(result)}")
    for line in skipped.lines():
        print(f"Skipped in folders: {line}.")
    counts = count_actions(map(outcome_row, outcomes))
    print(closing_line(counts))
    print(FOOTER)
    return 1 if counts["failed"] else 0


def _check_not_a_heatmap(arguments: argparse.Namespace, heatmaps: Sequence[Path]) -> None:
    """Refuse a table with the name of the heat maps' folder."""
    folders = {file.parent.resolve() for file in heatmaps if file != arguments.heatmap}
    for table in filter(None, (arguments.csv, arguments.json)):
        if table.resolve() in folders:
            message = f"The table {printable(table)} has the same name as the folder of the heat maps."
            raise KerasDrError(message, "Choose another name for one of them.")


def _grade_each(grader: Grader, images: Sequence[Path], heatmaps: Sequence[Path], debug: bool) -> list[Outcome]:
    """Grade each photograph, print its result and draw its heat map; an error stops only its own photograph."""
    outcomes: list[Outcome] = []
    for number, image in enumerate(images):
        try:
            grading = grade_file(grader, image)
            if heatmaps:
                grading.save_overlay(heatmaps[number])
            outcomes.append(grading)
            print(describe(grading, grader.bundle), flush=True)
        except KerasDrError as error:
            if debug:
                import traceback

                traceback.print_exc()
            outcomes.append(Failure(printable(image), str(error)))
            print(f"error: {shown(image)}: {error}", file=sys.stderr)
    return outcomes


def _watch(arguments: argparse.Namespace) -> int:
    grader = _load(arguments)
    journal = arguments.journal or arguments.folder / JOURNAL
    check_apart(journal, [arguments.bundle])
    check_journal(journal)

    def say(line: dict[str, Any]) -> None:
        said = f"error: {line['error']}" if "error" in line else f"{line['grade']}, action: {line['action']}"
        print(f"{shown(line['file'])}: {said}", flush=True)

    print(
        f"Watching {shown(arguments.folder)}, journal {shown(journal)}; {grader.bundle.positive}. {FOOTER}",
        flush=True,
    )
    watch(grader, arguments.folder, journal, arguments.interval, 2 if arguments.once else None, say)
    return 0


def _profile(arguments: argparse.Namespace) -> int:
    from edge_demo import operators, profiler

    inputs = [arguments.bundle, *([arguments.image] if arguments.image else [])]
    if arguments.json:
        _check_results([(arguments.json, (".json",), is_json("profile"))], inputs, arguments.overwrite)
    image = read_bytes(arguments.image) if arguments.image else None
    bundle = arguments.bundle
    variants = arguments.variants
    threads = arguments.threads
    repeats = arguments.repeats

    def report(text: str) -> None:
        if sys.stderr.isatty():
            print(f"measuring {text}", file=sys.stderr)

    measurements = profiler.profile(bundle, variants, threads, image, repeats, report, arguments.runs)
    print(profiler.table(measurements))
    profiles: list[operators.OperatorProfile] = []
    if arguments.operators:
        profiles = operators.profile_operators(bundle, variants, threads, repeats, report)
        print(operators.table(profiles))
    fits = True
    if arguments.budget_ms is not None or arguments.budget_mib is not None:
        text, fits = profiler.fitting(measurements, arguments.budget_ms, arguments.budget_mib)
        print(text)
    if arguments.json:
        profiler.write_json(arguments.json, measurements, operators=profiles)
        print(f"Wrote {shown(arguments.json)}")
    print(FOOTER)
    return 0 if fits else 1


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    The status is 0 for success and 1 for a failure, with a message. Argparse raises SystemExit with 2 for wrong usage.
    """
    arguments = parser().parse_args(words)
    try:
        return arguments.run(arguments)
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
