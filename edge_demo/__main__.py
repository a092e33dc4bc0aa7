"""A device's command line, `keras-dr-edge`, or `python -m edge_demo` in a clone: `arguments` lists its commands."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from edge_demo.arguments import parser
from edge_demo.bundle import Bundle
from edge_demo.grade_command import grade
from edge_demo.grader import read_bytes
from edge_demo.loading import load_grader, say_doubts
from edge_demo.messages import Messages
from edge_demo.result_files import check_results
from edge_demo.results import FOOTER, JOURNAL, notice
from keras_dr.core.errors import KerasDrError
from keras_dr.core.image_files import shown
from keras_dr.core.outputs import check_apart, is_json
from keras_dr.core.privacy import Privacy
from keras_dr.core.streams import prepare_streams, release_streams


def _watch(arguments: argparse.Namespace) -> int:
    from edge_demo.journal import check_journal
    from edge_demo.watch import check_folder, watch

    messages = Messages(BrokenPipeError)  # the journal is the record: a full disk of the messages does not end it
    check_folder(arguments.folder)  # before the model is tried
    grader = load_grader(arguments, messages.warn)
    journal = arguments.journal or arguments.folder / JOURNAL
    check_apart(journal, [arguments.bundle])
    check_journal(journal)
    new: Counter[str] = Counter()

    def say(line: dict[str, Any]) -> None:
        if "note" in line:
            messages.say(line["note"])
            return
        new["failed" if "error" in line else "graded"] += "renamed_from" not in line
        if "renamed_from" in line:
            said = f"graded before, as {shown(line['renamed_from'])}"
        elif "error" in line:
            said = f"error: {line['error']}"
        else:
            said = f"{line['grade']}, action: {line['action']}"
        messages.say(f"{shown(line['file'])}: {said}")

    messages.say(
        f"Watching {shown(arguments.folder)}, journal {shown(journal)}; model {grader.variant}; "
        f"{grader.bundle.positive}. {grader.bundle.point_text(arguments.margin)} {notice(grader.bundle)}"
    )
    unread = watch(
        grader,
        arguments.folder,
        journal,
        arguments.interval,
        rounds=2 if arguments.once else None,
        say=say,
        reload=lambda: load_grader(arguments, messages.warn),
        rotate_mib=arguments.rotate_mib,
        warn=messages.warn,
    )
    if not arguments.once:
        return 0
    more = f", {unread} could not be read" if unread else ""
    messages.say(f"New photographs: {new['graded']} graded, {new['failed']} failed{more}.")
    messages.check()
    return 1 if new["failed"] or unread else 0


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

    messages = Messages() if arguments.json else Messages(OSError)  # the JSON file does not depend on them
    inputs = [arguments.bundle, *([arguments.image] if arguments.image else [])]
    if arguments.json:
        check_results([(arguments.json, (".json",), is_json("profile"))], inputs, arguments.overwrite)
    image = read_bytes(arguments.image) if arguments.image else None
    bundle = arguments.bundle
    variants = arguments.variants
    loaded = Bundle.load(bundle)
    if variants is None:
        loaded.default_variant()  # measures none without a word if all failed
    say_doubts(loaded, variants or loaded.models, messages.warn)
    threads = arguments.threads
    repeats = arguments.repeats

    def report(text: str) -> None:
        if sys.stderr.isatty():
            messages.warn(f"measuring {text}")

    cpus = arguments.cpus
    measured = profiler.profile(bundle, variants, threads, image, repeats, report, arguments.runs, cpus)
    messages.say(profile_table.table(measured))
    profiles: list[operators.OperatorProfile] = []
    if arguments.operators:
        profiles = operators.profile_operators(bundle, variants, threads, repeats, report)
        messages.say(operators.table(profiles))
    long_runs: list[sustained.Sustained] = []
    if arguments.sustained:
        photograph = image or profiler.synthetic_photograph()
        minutes = arguments.sustained
        long_runs = sustained.measure_sustained(bundle, variants, threads, minutes, photograph, cpus, report)
        messages.say("\n".join(map(str, long_runs)))
    fits = True
    if arguments.budget_ms is not None or arguments.budget_mib is not None:
        text, fits = budgets.fitting(measured.measurements, arguments.budget_ms, arguments.budget_mib)
        messages.say(text)
    if arguments.json:
        profiler.write_json(arguments.json, measured, operators=profiles, sustained=long_runs)
        messages.say(f"Wrote {shown(arguments.json)}")
    messages.say(FOOTER)
    messages.check()
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


COMMANDS = {"grade": grade, "watch": _watch, "profile": _profile, "points": _points, "trail": _trail, "serve": _serve}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    The status is 0 for success and 1 for a failure, with a message. Argparse raises SystemExit with 2 for wrong usage.
    """
    arguments = parser().parse_args(words)
    messages = Messages()
    try:
        status = COMMANDS[arguments.command](arguments)
        print(end="", flush=True)  # so that a full disk is reported here
        return status
    except BrokenPipeError:  # such as `| head`: nobody reads a message
        return 1
    except KeyboardInterrupt:
        messages.warn("interrupted")
        return 130
    except Exception as error:
        if arguments.debug:
            raise
        text = str(error)
        if isinstance(error, OSError):
            text += ". Check the name, the permissions and the free space."
        elif not isinstance(error, KerasDrError):
            text = f"{type(error).__name__}: {error}. Pass --debug to see the traceback."
        messages.warn(f"error: {text}")
        return 1


def run() -> None:
    """The script `keras-dr-edge`."""
    prepare_streams()
    status = main()
    release_streams()
    sys.exit(status)


if __name__ == "__main__":
    run()
