"""`python -m edge_demo grade | profile`: grade photographs on a device, or measure it."""

import argparse
import csv
import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from edge_demo import profiler
from edge_demo.bundle import Bundle
from edge_demo.grader import IMAGE_SUFFIXES, Grader, Grading
from keras_dr.errors import KerasDrError
from keras_dr.runs import write_bytes, write_json

FOOTER = "Research use only, not a medical device."


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {text!r}")
    return int(text)


def _threads(text: str) -> list[int]:
    try:
        return profiler.parse_threads(text)
    except KerasDrError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _thread_count(text: str) -> int:
    return _threads(str(_positive(text)))[0]


def _names(text: str) -> list[str]:
    return text.split(",")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser("python -m edge_demo", description=__doc__, epilog=FOOTER)
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="grade|profile")

    grade = commands.add_parser("grade", help="grade photographs", epilog=FOOTER)
    grade.add_argument("bundle", type=Path, help="folder made by cli.py export")
    grade.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="a photograph, or a folder of them")
    grade.add_argument("--variant", help="model of the bundle (default: int8, unless it failed parity)")
    grade.add_argument("--threads", type=_thread_count, metavar="N", help="processor threads (default: the runtime's)")
    grade.add_argument("--heatmap", type=Path, metavar="OUT", help="a .png file for one photograph, else a folder")
    grade.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    grade.add_argument("--csv", type=Path, metavar="FILE", help="write the results as a table")
    grade.set_defaults(run=_grade)

    profile = commands.add_parser("profile", help="measure latency, memory and size here", epilog=FOOTER)
    profile.add_argument("bundle", type=Path, help="folder made by cli.py export")
    profile.add_argument("--image", type=Path, metavar="FILE", help="photograph (default: a synthetic disc)")
    profile.add_argument("--variants", type=_names, metavar="A,B", help="models of the bundle (default: all)")
    profile.add_argument("--threads", type=_threads, default=[1, 2], metavar="1,2", help="numbers of threads")
    profile.add_argument("--repeats", type=_positive, default=50, metavar="N", help="rounds a row (default: 50)")
    profile.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON")
    profile.set_defaults(run=_profile)
    for command in (grade, profile):
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return main_parser


def find_images(given: Sequence[Path]) -> list[Path]:
    """Files as given; of a folder, every image inside it and its subfolders, sorted, hidden ones left out.

    Raises:
        KerasDrError: a folder without images.
    """
    images: list[Path] = []
    for path in given:
        if not path.is_dir():
            images.append(path)
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in IMAGE_SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not inside:
            expected = f"images ({', '.join(IMAGE_SUFFIXES)}) in {path}"
            raise KerasDrError(expected, "none", "Name another folder, or the photographs themselves.")
        images += inside
    return images


def heatmap_files(target: Path, images: Sequence[Path]) -> list[Path]:
    """The PNG file of each photograph's heat map: `target` itself, or one named after the photograph inside it.

    Raises:
        KerasDrError: one .png file for several photographs, or a heat map that would overwrite a photograph.
    """
    single = target.suffix.lower() == ".png" and not target.is_dir()
    if single and len(images) > 1:
        raise KerasDrError(f"a folder for {len(images)} heat maps", str(target), "Pass a name without .png.")
    files, taken = [], set()
    for image in images:
        name, number = image.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{image.stem}-{number}"
        taken.add(name.lower())
        files.append(target if single else target / f"{name}.png")
    photographs = {image.resolve() for image in images}
    for file in files:
        if file.resolve() in photographs:
            raise KerasDrError("heat maps apart from the photographs", str(file), "Choose another --heatmap.")
    return files


def _check_results(
    bundle: Path, images: Sequence[Path], tables: Sequence[Path | None], heatmaps: Sequence[Path | None] = ()
) -> None:
    """Find out before the work that a result has nowhere to go, or would replace what is no result.

    Raises:
        KerasDrError: a result that is a folder, a photograph, inside the bundle, or named like another one; a table
            (JSON or CSV) whose folder is missing. The folder of the heat maps is made when it is needed.
    """
    photographs = {image.resolve() for image in images}
    taken = {file.parent.resolve(): "the folder of the heat maps" for file in heatmaps if file}
    for file in filter(None, (*heatmaps, *tables)):
        place = file.resolve()
        found = "a folder" if place.is_dir() else taken.get(place)
        if place in photographs:
            found = "one of the photographs"
        elif place.is_relative_to(bundle.resolve()):
            found = f"a place inside the bundle {_printable(bundle)}"
        if found:
            expected = f"a file of its own for the result {_printable(file)}"
            raise KerasDrError(expected, found, "Choose another name or folder for it.")
        taken[place] = "the name of another result"
    for table in filter(None, tables):
        if not table.parent.is_dir():
            expected = f"a folder {_printable(table.parent)} for {_printable(table)}"
            raise KerasDrError(expected, "none", "Make it first.")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Choose a folder that exists, may be written and has room."
        raise KerasDrError(f"to write {_printable(target)}", error.strerror or str(error), remedy) from error


def _grade(arguments: argparse.Namespace) -> int:
    images = find_images(arguments.images)
    heatmaps = heatmap_files(arguments.heatmap, images) if arguments.heatmap else [None] * len(images)
    _check_results(arguments.bundle, images, (arguments.json, arguments.csv), heatmaps)
    if arguments.threads:
        cv2.setNumThreads(arguments.threads)
    grader = Grader(Bundle.load(arguments.bundle), arguments.variant, arguments.threads)
    if heatmaps[0] is not None:
        with _writing(arguments.heatmap):
            heatmaps[0].parent.mkdir(parents=True, exist_ok=True)
    gradings, failures = [], []
    for image, heatmap in zip(images, heatmaps, strict=True):
        try:
            grading = _grade_one(grader, image)
            gradings.append(grading)
            print(describe(grading, grader.bundle), flush=True)
            if heatmap is not None:
                grading.save_overlay(heatmap)
        except KerasDrError as error:
            if arguments.debug:
                traceback.print_exc()
            failures.append({"path": _printable(image), "error": str(error)})
            print(f"error: {_printable(image)}: {error}", file=sys.stderr)
    if arguments.json:
        with _writing(arguments.json):
            write_json(arguments.json, results_json(grader, gradings, failures))
    if arguments.csv:
        with _writing(arguments.csv):
            write_bytes(arguments.csv, results_csv(grader.bundle, gradings).encode())
    for result in filter(None, (arguments.heatmap, arguments.json, arguments.csv)):
        print(f"Wrote {result}")
    print(FOOTER)
    return 1 if failures else 0


def _grade_one(grader: Grader, image: Path) -> Grading:
    """`Grader.grade` of a file; a photograph that OpenCV or the memory cannot hold must not end the others' grading."""
    try:
        return grader.grade(_read(image), _printable(image))
    except (cv2.error, MemoryError) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise KerasDrError("a photograph that can be prepared here", found, "Reduce or crop it first.") from error


def _printable(path: Path) -> str:
    """A path as text that UTF-8 can hold, whatever bytes the file system gave."""
    return str(path).encode(errors="replace").decode()


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        found = error.strerror or str(error)
        raise KerasDrError(f"a photograph {_printable(image)}", found, "Check the name and the permissions.") from error


def describe(grading: Grading, bundle: Bundle) -> str:
    """Two lines of text, a third where no fundus was found."""
    probabilities = "  ".join(f"{name} {value:.3f}" for name, value in grading.probabilities.items())
    referable = f"{'yes' if grading.referred else 'no'} ({grading.p_referable:.3f}, threshold {bundle.threshold:.3f})"
    said = f"{grading.grade}, referable: {referable}" if bundle.referable else grading.grade
    lines = [f"{grading.path}: {said}", f"  {probabilities}"]
    if not grading.fundus_found:
        lines.append("  No fundus circle was found: the whole photograph was graded. Look at it before you trust this.")
    return "\n".join(lines)


def results_json(grader: Grader, gradings: Sequence[Grading], failures: Sequence[dict[str, str]]) -> dict[str, Any]:
    """JSON value: with what was graded, each `Grading.to_dict()`, each failed photograph and its error."""
    bundle = grader.bundle
    return {
        "schema_version": 1,
        "kind": "gradings",
        "bundle": _printable(bundle.folder),
        "variant": grader.variant,
        "model_sha256": bundle.models[grader.variant].sha256,
        "threshold": bundle.threshold,
        "referable": [bundle.classes[index] for index in bundle.referable],
        "photographs": [grading.to_dict() for grading in gradings],
        "failures": list(failures),
        "notice": FOOTER,
    }


def results_csv(bundle: Bundle, gradings: Sequence[Grading]) -> str:
    """A table with the columns of predictions.csv that apply here, and the path and whether a fundus was found."""
    # A dictionary, because a class may itself be called "referable": then both columns are one.
    columns = dict.fromkeys([*(f"p_{name}" for name in bundle.classes), "p_referable"])
    text = io.StringIO()
    header = ["image_id", "path", "prediction", *columns, "referred", "fundus_found"]
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    for g in gradings:
        row = {f"p_{name}": value for name, value in g.probabilities.items()} | {"p_referable": g.p_referable}
        row |= {"referred": int(g.referred), "fundus_found": int(g.fundus_found)}
        writer.writerow({"image_id": g.image_id, "path": g.path, "prediction": g.grade, **row})
    return text.getvalue()


def _profile(arguments: argparse.Namespace) -> int:
    images = [arguments.image] if arguments.image else []
    _check_results(arguments.bundle, images, [arguments.json])
    image = _read(arguments.image) if arguments.image else None
    measurements = profiler.profile(
        arguments.bundle,
        arguments.variants,
        arguments.threads,
        image,
        arguments.repeats,
        lambda text: print(f"measuring {text}", file=sys.stderr) if sys.stderr.isatty() else None,
    )
    print(profiler.table(measurements))
    if arguments.json:
        profiler.write_json(arguments.json, measurements)
        print(f"Wrote {arguments.json}")
    print(FOOTER)
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; 0 done, 1 failed with one message, 2 wrong usage (raised by argparse as SystemExit)."""
    arguments = parser().parse_args(words)
    try:
        return arguments.run(arguments)
    except BrokenPipeError:  # `| head` has seen enough; nothing is left for Python to flush into the closed pipe
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
            text += ". Check the name, the permissions and the room that is left."
        elif not isinstance(error, KerasDrError):
            text = f"{type(error).__name__}: {error}. Pass --debug to see where."
        print(f"error: {text}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
