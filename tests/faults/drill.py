"""Disturb prepare, train, export and predict, give the same command again, and count what is lost.

    python tests/faults/drill.py [--kills 30] [--short] [--commands prepare ...] [--only kill ...] [--keep]

Every fault hits a real command on synthetic photographs. "process: fresh" is a Python of its own; "forked" is a child
of this process, which has imported TensorFlow but not used it: the import takes longer than the work. Killed is at a
random time of the work, or just before a random change of a file (every second time); of fresh commands the process
alone or with its workers. A result is lost where the same command, given again, does not end with the result of an
undisturbed one, or where something else lies under the result's name in between.
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
    """What came of the faults of one kind.

    Attributes:
        command, fault: for the table.
        injected: faults that hit.
        repeated: commands given again.
        resumed: of these, those that found something to go on from.
        lost: what went wrong, in words, one a result.
        skipped: why the fault could not be had.
    """

    command: Command
    fault: str
    injected: int = 0
    repeated: int = 0
    resumed: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: str = ""

    def row(self) -> list[str]:
        """Of the table."""
        process = "fresh" if self.command.fresh else "forked"
        if self.skipped:
            return [self.command.name, process, f"{self.fault}: {self.skipped}", "-", "-", "-", "-"]
        return [self.command.name, process, self.fault, *map(str, (self.injected, self.repeated, self.resumed)),
                str(len(self.lost))]  # fmt: skip


@dataclass
class Drill:
    """Faults of one command.

    Attributes:
        command: which.
        work: the workspace.
        reference: its undisturbed run.
        draw: of moments.
    """

    command: Command
    work: Path
    reference: Reference
    draw: random.Random

    def kill(self, times: int) -> list[Tally]:
        """SIGKILL at random moments; every third time its repetition is killed as well."""
        tallies = {moment: Tally(self.command, f"SIGKILL {moment}") for moment in ("at a time", "at a file")}
        at = self.work / "killed"
        while (done := sum(tally.injected for tally in tallies.values())) < times:
            tally = tallies["at a file" if done % 2 else "at a time"]
            renew(at, self.command, self.work)
            for again in range(2 if done % 3 == 2 and done + 1 < times else 1):
                if again:
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
            die_at = self.draw.randint(1, self.reference.changes)
            return start(self.command, self.work, at, Fault(str(at), die_at)).wait() == SIGKILLED
        process = start(self.command, self.work, at)
        process.wait(self.draw.random() * self.reference.seconds)
        if process.wait(0) is None:
            process.kill(group=self.command.fresh and self.draw.random() < 0.5)
        return process.wait() == SIGKILLED

    def full(self, shares: Sequence[float]) -> list[Tally]:
        """Disks with room for these shares of the result."""
        with small_disk(self.work / "disk") as disk:
            tally = Tally(self.command, disk.fault)
            if not disk.mounted and not self.command.fresh:
                tally.skipped = "needs the right to mount, as HDF5 writes past Python"
                return [tally]
            for share in shares:
                renew(disk.at, self.command, self.work)
                size = int(share * self.reference.bytes)
                used = sum(file.stat().st_blocks * 512 for file in disk.at.rglob("*"))
                disk.limit(used + size)
                fault = NONE if disk.mounted else Fault(file_bytes=max(1, int(share * self._largest())))
                self._fails(disk, tally, fault, f"{share} of the room")
        return [tally]

    def _largest(self) -> int:
        """Bytes of the largest file of the undisturbed result."""
        result = self.work / "reference" / self.command.target
        files = [file for file in result.rglob("*") if file.is_file()] or [result]
        return max(file.stat().st_size for file in files if file.is_file())

    def readonly(self) -> list[Tally]:
        """A target folder that cannot be written."""
        with small_disk(self.work / "disk") as disk:
            tally = Tally(self.command, "read-only target")
            renew(disk.at, self.command, self.work)
            if not disk.forbid():
                tally.skipped = "root without the right to mount"
            else:
                self._fails(disk, tally, NONE, "read-only")
        return [tally]

    def _fails(self, disk: Disk, tally: Tally, fault: Fault, what: str) -> None:
        """The command must fail with one message and leave no result; mended, it must succeed."""
        process = start(self.command, self.work, disk.at, fault)
        code = process.wait()
        tally.injected += 1
        if code == 0:
            tally.lost.append(f"{what}: no failure; the fault did not bite")
        else:
            self._check_message(process, code, tally, what)
        self._check_between(disk.at, tally)
        disk.mend()
        self._repeat(disk.at, tally)

    def together(self, delays: Sequence[float]) -> list[Tally]:
        """Two of the same command, the second begun after these shares of the time that one takes."""
        tally = Tally(self.command, "two at once")
        for delay in delays:
            at = renew(self.work / "together", self.command, self.work)
            first = start(self.command, self.work, at)
            time.sleep(delay * self.reference.seconds)
            both = (first, start(self.command, self.work, at))
            codes = [process.wait() for process in both]
            tally.injected += 1
            if 0 not in codes:
                tally.lost.append(f"two at once: none ended well, {codes}")
            for process, code in zip(both, codes, strict=True):
                if code:
                    self._check_message(process, code, tally, "two at once")
            self._check_same(at, tally, "two at once")
        return [tally]

    def clock(self) -> list[Tally]:
        """Clocks that leap by years, over a kill, after which all files are from 2001."""
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
        """Give the same command again, unless its result is there, and compare."""
        if self.command.needs or not fingerprint(self.command, at):
            tally.repeated += 1
            tally.resumed += left_over(self.command, at)
            process = start(self.command, self.work, at, fault)
            if code := process.wait():
                tally.lost.append(f"repeated: exit {code}: {' | '.join(process.messages())[-600:]}")
                return
        self._check_same(at, tally, "repeated")

    def _check_between(self, at: Path, tally: Tally) -> None:
        """Under the result's name lies nothing, or all."""
        if fingerprint(self.command, at):
            self._check_same(at, tally, "between")

    def _check_same(self, at: Path, tally: Tally, when: str) -> None:
        found, wanted = fingerprint(self.command, at), self.reference.prints
        if found != wanted:
            names = sorted(name for name in found.keys() | wanted if found.get(name) != wanted.get(name))
            tally.lost.append(f"{when}: other than undisturbed: {', '.join(names)}")

    def _check_message(self, process: Process, code: int | None, tally: Tally, when: str) -> None:
        """One message and exit code 1; LiteRT's line about its XNNPACK delegate is no fault's."""
        lines = [line for line in process.messages() if not line.startswith("INFO: Created TensorFlow Lite")]
        if code != 1 or len(lines) != 1 or not lines[0].startswith("Error: "):
            tally.lost.append(f"{when}: exit {code}, said: {' | '.join(lines)[-600:]}")


def table(tallies: Sequence[Tally]) -> str:
    """The tallies, a line each, and their sums."""
    head = ["command", "process", "fault", "injected", "repeated", "resumed", "lost"]
    sums = [str(sum(getattr(tally, name) for tally in tallies)) for name in ("injected", "repeated", "resumed")]
    rows = [head, *(tally.row() for tally in tallies), ["all", "", "", *sums, str(sum(len(t.lost) for t in tallies))]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def import_tensorflow() -> None:
    """For the children of this process; nothing of it is used here."""
    for module in (
        "tensorflow",
        "keras",
        "export.write_bundle",
        "keras_dr.prediction.predict",
        "keras_dr.training.train",
    ):
        importlib.import_module(module)


def drills(drill: Drill, short: bool, kills: int) -> dict[str, Callable[[], list[Tally]]]:
    """Name -> faults; in short, commands that need TensorFlow are killed once and no more."""
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
    """Parse, disturb, print; exit 1 where a result was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [command.name.replace(" ", "-") for command in COMMANDS]
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--commands", nargs="+", choices=names, help="all; with --short all but predict-RUN")
    parser.add_argument("--only", nargs="+", choices=("kill", "full", "readonly", "together", "clock"))
    parser.add_argument("--short", action="store_true", help="few faults, in a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the workspace, and say where it is")
    given = parser.parse_args()
    given.commands = given.commands or names[: -1 if given.short else None]
    work, tallies = Path(tempfile.mkdtemp(prefix="faults-")), []
    os.environ["TMPDIR"] = tempfile.tempdir = str(work)  # what killed processes leave goes with it
    started = time.monotonic()
    try:
        make_photographs(work)
        last = max(names.index(name) for name in given.commands) + 1  # commands work on the results of those before
        if not all(command.fresh for command in COMMANDS[:last]):
            import_tensorflow()
        for command, name in zip(COMMANDS[:last], names, strict=False):
            drill = Drill(command, work, refer(command, work), random.Random(f"{given.seed} {name}"))
            told = f"{drill.reference.seconds:.1f} s and {drill.reference.changes} changes of files undisturbed"
            print(f"{name}: {told}", flush=True)
            for kind, disturb in drills(drill, given.short, given.kills).items():
                if name in given.commands and kind in (given.only or [kind]):
                    found = disturb()
                    tallies += found
                    for tally in found:
                        print("  " + "  ".join(tally.row()), *tally.lost, sep="\n    LOST ", flush=True)
    finally:
        if given.keep:
            print(f"workspace: {work}")
        else:
            shutil.rmtree(work)
    print(table(tallies))
    print(f"seed {given.seed}, {time.monotonic() - started:.0f} s")
    sys.exit(any(tally.lost for tally in tallies))


if __name__ == "__main__":
    main()
