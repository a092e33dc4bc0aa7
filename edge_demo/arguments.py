"""The arguments of a device's commands."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from edge_demo.results import FOOTER, JOURNAL, ROTATE_MIB
from edge_demo.shipped import find_bundle, shipped_graders
from keras_dr import __version__
from keras_dr.core.decision import MARGIN
from keras_dr.core.encoding import SEPARATORS
from keras_dr.core.errors import KerasDrError

DESCRIPTION = "Grade fundus photographs on this device, or measure how fast it does so."
MOST_MINUTES = 1440  # a day
MOST_SECONDS = 86_400  # a day; time.sleep raises an OverflowError for centuries
BUNDLE_HELP = f"the folder that keras-dr export wrote, or a shipped grader: {', '.join(shipped_graders()) or 'none'}"
VARIANT_HELP = (
    "the model to use (default: int8 if the bundle has it and it passed the comparison at export; one that failed is "
    "used only if it is named here, and each result then says so)"
)
THREADS_HELP = "number of processor threads (default: chosen by LiteRT)"
KEY_HELP = "the key of the patients' hashes and of the journal (default: ~/.config/keras_dr/key, made if missing)"
MARGIN_HELP = f"scores at most this far below the threshold count as uncertain and are referred (default: {MARGIN})"


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _threads(text: str) -> list[int]:
    from edge_demo import cores  # grading starts without it

    try:
        return cores.parse_threads(text)
    except KerasDrError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _cpus(text: str) -> list[int]:
    from edge_demo import cores

    try:
        return cores.parse_cpus(text)
    except KerasDrError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _number(text: str, fits: Callable[[float], bool], what: str) -> float:
    """Return a number; text that is none, or a number that does not fit, is refused as not being what is wanted."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan  # fits nowhere
    if not fits(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number


def _minutes(text: str) -> float:
    what = f"a number of minutes above 0 and up to {MOST_MINUTES}"
    return _number(text, lambda minutes: 0 < minutes <= MOST_MINUTES, what)


def _thread_count(text: str) -> int:
    return _threads(str(_positive(text)))[0]


def _probability(text: str) -> float:
    return _number(text, lambda probability: 0 <= probability <= 1, "a probability from 0 to 1")


def _seconds(text: str) -> float:
    return _number(text, lambda seconds: 0 <= seconds <= MOST_SECONDS, f"a number of seconds from 0 to {MOST_SECONDS}")


def _mebibytes(text: str) -> float:
    return _number(text, lambda size: 0 < size < math.inf, "a number of MiB above 0")


def _budget(text: str) -> float:
    return _number(text, lambda budget: 0 <= budget < math.inf, "a number of 0 or more")


def _names(text: str) -> list[str]:
    return text.split(",")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    main_parser = argparse.ArgumentParser("keras-dr-edge", description=DESCRIPTION, epilog=FOOTER)
    main_parser.add_argument("--version", action="version", version=f"keras_dr {__version__}")
    commands = main_parser.add_subparsers(
        dest="command", required=True, metavar="grade|watch|profile|points|trail|serve"
    )
    _add_grade(commands)
    _add_watch(commands)
    _add_profile(commands)
    _add_trail(commands)
    _add_command(commands, "points", "list the operating points of a grader in words")
    _add_serve(commands)
    return main_parser


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
) -> argparse.ArgumentParser:
    """Add a command with the arguments that all commands share."""
    command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=FOOTER)
    command.add_argument("bundle", type=find_bundle, help=BUNDLE_HELP)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def _add_point(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--operating-point", metavar="NAME", help="the operating point to refer at; the command points lists them"
    )
    command.add_argument(
        "--threshold", type=_probability, metavar="P", help="a threshold on the probability of referable DR instead"
    )


def _add_trail(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "check the journal of watch: that no line was changed, removed, added or moved"
    trail = commands.add_parser("trail", help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=FOOTER)
    trail.add_argument("work", choices=("verify",), help="what to do")
    trail.add_argument("journal", type=Path, help=f"the journal, by default CAMERA/{JOURNAL}")
    trail.add_argument("--key", type=Path, metavar="FILE", help=KEY_HELP)
    trail.add_argument("--head", type=Path, metavar="FILE", help="the head of the journal (default: beside the key)")
    trail.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _add_overwrite(command: argparse.ArgumentParser) -> None:
    command.add_argument("--overwrite", action="store_true", help="replace files that this command did not write")


def _add_privacy(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--identified", action="store_true", help="keep the patients' identifiers of DICOM files in the results"
    )
    command.add_argument("--key", type=Path, metavar="FILE", help=KEY_HELP)


def _add_grade(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "grade photographs, one after the other; keras-dr predict does so on all cores of a workstation"
    grade = _add_command(commands, "grade", summary)
    grade.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="a photograph, a folder, or a CSV list of photographs"
    )
    grade.add_argument("--variant", help=VARIANT_HELP)
    grade.add_argument("--threads", type=_thread_count, metavar="N", help=THREADS_HELP)
    _add_point(grade)
    grade.add_argument("--margin", type=_probability, default=MARGIN, metavar="P", help=MARGIN_HELP)
    grade.add_argument(
        "--heatmap",
        "--heatmaps",
        type=Path,
        metavar="OUT",
        help="write the heat maps: a .png file for one photograph, or a folder",
    )
    grade.add_argument(
        "--dicom-out",
        type=Path,
        metavar="FOLDER",
        help="write a structured report and an overlay of each DICOM file, with the identifiers of its study",
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
    _add_privacy(grade)
    _add_overwrite(grade)


def _add_watch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    watcher = _add_command(commands, "watch", "grade the photographs that a camera writes into a folder")
    watcher.add_argument("folder", type=Path, help="the folder that the camera writes to")
    watcher.add_argument(
        "--journal", type=Path, metavar="FILE", help=f"the file to append the results to (default: FOLDER/{JOURNAL})"
    )
    watcher.add_argument("--variant", help=VARIANT_HELP)
    watcher.add_argument("--threads", type=_thread_count, metavar="N", help=THREADS_HELP)
    _add_point(watcher)
    watcher.add_argument("--margin", type=_probability, default=MARGIN, metavar="P", help=MARGIN_HELP)
    watcher.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="seconds between two searches for new photographs (default: 1)",
    )
    _add_privacy(watcher)
    watcher.add_argument(
        "--rotate-mib",
        type=_mebibytes,
        default=ROTATE_MIB,
        metavar="MIB",
        help=f"size at which a journal is renamed, and a new one continues it (default: {ROTATE_MIB})",
    )
    watcher.add_argument("--once", action="store_true", help="grade the photographs in the folder, then end")


def _add_profile(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "measure latency, memory and size on this device"
    profile = _add_command(commands, "profile", summary)
    profile.add_argument("--image", type=Path, metavar="FILE", help="the photograph to grade (default: a drawn one)")
    profile.add_argument(
        "--variants", type=_names, metavar="A,B", help="the models to measure (default: all, unless all failed)"
    )
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
        type=_budget,
        metavar="MS",
        help="report which models meet this 90th percentile of the latency; exit with 1 if none does",
    )
    profile.add_argument(
        "--budget-mib",
        type=_budget,
        metavar="MIB",
        help="report which models meet this peak memory; exit with 1 if none does",
    )
    profile.add_argument(
        "--cpus", type=_cpus, metavar="N,N", help="the cores to measure on, such as 0,1 or 0-3 (default: all)"
    )
    profile.add_argument(
        "--sustained",
        type=_minutes,
        metavar="MINUTES",
        help="also grade without a pause for so long, and report slowing, temperature, clock and throttling",
    )
    profile.add_argument("--operators", action="store_true", help="report the time of each kind of operator")
    profile.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON")
    _add_overwrite(profile)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a whole number from 0 to 65535")
    return int(text)


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "serve a site that keras-dr web wrote to the browsers of this machine"
    serve = commands.add_parser("serve", help=summary, description=f"{summary.capitalize()}.", epilog=FOOTER)
    serve.add_argument("site", type=Path, help="the folder of the site")
    serve.add_argument("--port", type=_port, default=8000, metavar="N", help="the port (default: 8000; 0: a free one)")
    serve.add_argument("--open", action="store_true", help="open the page in the browser")
    serve.add_argument("--debug", action="store_true", help="show the traceback of an error")
