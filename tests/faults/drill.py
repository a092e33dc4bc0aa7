"""Disturbs prepare, train, export and predict, repeats the same command, and counts lost results.

    python tests/faults/drill.py [--kills 30] [--short] [--commands prepare ...] [--only kill ...] [--keep]

Every fault hits a real command on synthetic photographs. "process: fresh" is a new Python; "forked" is a child of this
process, which has imported TensorFlow but not used it, because the import takes longer than the work. A command is
killed at a random time, or (every second time) just before a random change of a file. For fresh commands, either only
the process or the process with its workers is killed. A result counts as lost unless the repeated command ends with the
result of an undisturbed command; it is also lost if anything else exists under the result's name in between.
"""

import argparse
import importlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from disks import Disk, small_disk
from victim import NONE, Fault, Process
from workspace import (
    COMMANDS,
    Command,
    Reference,
    age,
    fingerprint,
    left_over,
    make_photographs,
    refer,
    renew,
    start,
)

SIGKILLED = -9


@dataclass
class Tally:
    """The results of one kind of fault.

    Attributes:
        command: the disturbed command.
        fault: name of the fault for the table.
        injected: number of faults that hit.
        repeated: number of repeated commands.
        resumed: number of these that could continue earlier work.
        lost: descriptions of lost results.
        skipped: reason why the fault was impossible here.
    """

    command: Command
    fault: str
    injected: int = 0
    repeated: int = 0
    resumed: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: str = ""

    def row(self) -> list[str]:
        """Return the row of the table."""
        process = "fresh" if self.command.fresh else "forked"
        if self.skipped:
            return [self.command.name, process, f"{self.fault}: {self.skipped}", "-", "-", "-", "-"]
        counts = (self.injected, self.repeated, self.resumed, len(self.lost))
        return [self.command.name, process, self.fault, *map(str, counts)]


@dataclass
class Drill:
    """Faults of one command.

    Attributes:
        command: the command to disturb.
        work: the workspace.
        reference: an undisturbed run of the command.
        rng: chooses random moments.
    """

    command: Command
    work: Path
    reference: Reference
    rng: random.Random

    def kill(self, times: int) -> list[Tally]:
        """Kill the command at random moments; every third time its repetition is killed as well."""
        tallies = {moment: Tally(self.command, f"SIGKILL {moment}") for moment in ("at a time", "at a file")}
        at = self.work / "killed"
        while (done := sum(tally.injected for tally in tallies.values())) < times:
            tally = tallies["at a file" if done % 2 else "at a time"]
            renew(at, self.command, self.work)
            attempts = 2 if done % 3 == 2 and done + 1 < times else 1
            for attempt in range(attempts):
                if attempt:
                    tally.repeated += 1
                    tally.resumed += left_over(self.command, at)
                if self._kill_once(at, tally):
                    tally.injected += 1
                    self._check_between(at, tally)
                if fingerprint(self.command, at) and not self.command.needs:
                    break
            self._repeat(at, tally)
        return list(tallies.values())

    def _kill_once(self, at: Path, tally: Tally) -> bool:
        """Whether the command was killed before it ended."""
        if tally.fault.endswith("file"):
            die_at = self.rng.randint(1, self.reference.changes)
            return start(self.command, self.work, at, Fault(str(at), die_at)).wait() == SIGKILLED
        process = start(self.command, self.work, at)
        process.wait(self.rng.random() * self.reference.seconds)
        if process.wait(0) is None:
            process.kill(group=self.command.fresh and self.rng.random() < 0.5)
        return process.wait() == SIGKILLED

    def full(self, shares: Sequence[float]) -> list[Tally]:
        """Run the command on disks with space for only these shares of the result."""
        with small_disk(self.work / "disk") as disk:
            tally = Tally(self.command, disk.fault)
            if not disk.mounted and not self.command.fresh:
                tally.skipped = "needs the permission to mount, because HDF5 does not write through Python"
                return [tally]
            for share in shares:
                renew(disk.at, self.command, self.work)
                size = int(share * self.reference.bytes)
                used = sum(file.stat().st_blocks * 512 for file in disk.at.rglob("*"))
                disk.limit(used + size)
                fault = NONE if disk.mounted else Fault(file_bytes=max(1, int(share * self._largest())))
                self._fail_and_repeat(disk, tally, fault, f"{share} of the space")
        return [tally]

    def _largest(self) -> int:
        """Return the size in bytes of the largest file of the undisturbed result."""
        result = self.work / "reference" / self.command.target
        files = [file for file in result.rglob("*") if file.is_file()] or [result]
        return max(file.stat().st_size for file in files if file.is_file())

    def readonly(self) -> list[Tally]:
        """Run the command with a target folder that cannot be written."""
        with small_disk(self.work / "disk") as disk:
            tally = Tally(self.command, "read-only target")
            renew(disk.at, self.command, self.work)
            if not disk.make_readonly():
                tally.skipped = "root without the permission to mount"
            else:
                self._fail_and_repeat(disk, tally, NONE, "read-only")
        return [tally]

    def _fail_and_repeat(self, disk: Disk, tally: Tally, fault: Fault, what: str) -> None:
        """Check that the command fails with one message and no result, and succeeds when the disk is restored."""
        process = start(self.command, self.work, disk.at, fault)
        code = process.wait()
        tally.injected += 1
        if code == 0:
            tally.lost.append(f"{what}: the command did not fail; the fault had no effect")
        else:
            self._check_message(process, code, tally, what)
        self._check_between(disk.at, tally)
        disk.restore()
        self._repeat(disk.at, tally)

    def together(self, delays: Sequence[float]) -> list[Tally]:
        """Run the same command twice; the second starts after these shares of the time that one takes."""
        tally = Tally(self.command, "two at once")
        for delay in delays:
            at = renew(self.work / "together", self.command, self.work)
            first = start(self.command, self.work, at)
            time.sleep(delay * self.reference.seconds)
            processes = (first, start(self.command, self.work, at))
            codes = [process.wait() for process in processes]
            tally.injected += 1
            if 0 not in codes:
                tally.lost.append(f"two at once: neither succeeded, exit codes {codes}")
            for process, code in zip(processes, codes, strict=True):
                if code:
                    self._check_message(process, code, tally, "two at once")
            self._check_same(at, tally, "two at once")
        return [tally]

    def clock(self) -> list[Tally]:
        """Change the clock by years, kill the command, and set the times of all files to 2001."""
        tally = Tally(self.command, "clock leaps")
        at = renew(self.work / "clock", self.command, self.work)
        die_at = self.reference.changes * 2 // 3
        if start(self.command, self.work, at, Fault(str(at), die_at, leaps=True)).wait() == SIGKILLED:
            tally.injected += 1
            self._check_between(at, tally)
            age(at)
            age(self.work / "photographs")
        self._repeat(at, tally, Fault(leaps=True))
        return [tally]

    def _repeat(self, at: Path, tally: Tally, fault: Fault = NONE) -> None:
        """Repeat the same command, unless its result exists, and compare."""
        if self.command.needs or not fingerprint(self.command, at):
            tally.repeated += 1
            tally.resumed += left_over(self.command, at)
            process = start(self.command, self.work, at, fault)
            if code := process.wait():
                tally.lost.append(f"repeated: exit {code}: {' | '.join(process.messages())[-600:]}")
                return
        self._check_same(at, tally, "repeated")

    def _check_between(self, at: Path, tally: Tally) -> None:
        """Check that the result's name is unused, or the result complete."""
        if fingerprint(self.command, at):
            self._check_same(at, tally, "between")

    def _check_same(self, at: Path, tally: Tally, when: str) -> None:
        """Check that the result equals that of the undisturbed command."""
        actual = fingerprint(self.command, at)
        expected = self.reference.prints
        if actual != expected:
            names = sorted(name for name in actual.keys() | expected if actual.get(name) != expected.get(name))
            tally.lost.append(f"{when}: different from undisturbed: {', '.join(names)}")

    def _check_message(self, process: Process, code: int | None, tally: Tally, when: str) -> None:
        """Check that there is one message and exit code 1; LiteRT's line about its XNNPACK delegate is ignored."""
        lines = [line for line in process.messages() if not line.startswith("INFO: Created TensorFlow Lite")]
        if code != 1 or len(lines) != 1 or not lines[0].startswith("Error: "):
            tally.lost.append(f"{when}: exit {code}, messages: {' | '.join(lines)[-600:]}")


def table(tallies: Sequence[Tally]) -> str:
    """Return the tallies as text, one line each, and their sums."""
    headings = ["command", "process", "fault", "injected", "repeated", "resumed", "lost"]
    sums = [sum(getattr(tally, name) for tally in tallies) for name in ("injected", "repeated", "resumed")]
    sums.append(sum(len(tally.lost) for tally in tallies))
    rows = [headings, *(tally.row() for tally in tallies), ["all", "", "", *map(str, sums)]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def import_tensorflow() -> None:
    """Import TensorFlow for the children of this process, without using it here."""
    for module in (
        "tensorflow",
        "keras",
        "export.write_bundle",
        "keras_dr.prediction.predict",
        "keras_dr.training.train",
    ):
        importlib.import_module(module)


def drills(drill: Drill, short: bool, kills: int) -> dict[str, Callable[[], list[Tally]]]:
    """Return the faults by name; in a short drill, commands that need TensorFlow are only killed once."""
    if short and not drill.command.fresh:
        return {"kill": lambda: drill.kill(1)}
    return {
        "kill": lambda: drill.kill(kills),
        "full": lambda: drill.full([0.5] if short else [0.1, 0.5, 0.9]),
        "readonly": drill.readonly,
        "together": lambda: drill.together([0] if short else [0, 0.3, 0.6]),
        "clock": drill.clock,
    }


def main() -> None:
    """Parse, disturb, print; exit with 1 if a result was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [command.name.replace(" ", "-") for command in COMMANDS]
    parser.add_argument("--kills", type=int, default=30, help="number of kills per command (default: 30)")
    parser.add_argument(
        "--commands",
        nargs="+",
        choices=names,
        help="commands to disturb (default: all; with --short all except predict-RUN)",
    )
    parser.add_argument("--only", nargs="+", choices=("kill", "full", "readonly", "together", "clock"))
    parser.add_argument("--short", action="store_true", help="inject few faults, in about a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the workspace, and print where it is")
    arguments = parser.parse_args()
    chosen = arguments.commands or (names[:-1] if arguments.short else names)
    work = Path(tempfile.mkdtemp(prefix="faults-"))
    tallies: list[Tally] = []
    os.environ["TMPDIR"] = tempfile.tempdir = str(work)  # temporary files of killed processes are removed with it
    start_time = time.monotonic()
    try:
        make_photographs(work)
        count = max(names.index(name) for name in chosen) + 1  # later commands need the results of earlier ones
        if not all(command.fresh for command in COMMANDS[:count]):
            import_tensorflow()
        for command, name in zip(COMMANDS[:count], names, strict=False):
            reference = refer(command, work)
            print(f"{name}: undisturbed {reference.seconds:.1f} s and {reference.changes} changes of files", flush=True)
            drill = Drill(command, work, reference, random.Random(f"{arguments.seed} {name}"))
            for kind, disturb in drills(drill, arguments.short, arguments.kills).items():
                if name in chosen and kind in (arguments.only or [kind]):
                    new_tallies = disturb()
                    tallies += new_tallies
                    for tally in new_tallies:
                        print("  " + "  ".join(tally.row()), *tally.lost, sep="\n    LOST ", flush=True)
    finally:
        if arguments.keep:
            print(f"workspace: {work}")
        else:
            shutil.rmtree(work)
    print(table(tallies))
    print(f"seed {arguments.seed}, {time.monotonic() - start_time:.0f} s")
    sys.exit(any(tally.lost for tally in tallies))


if __name__ == "__main__":
    main()
