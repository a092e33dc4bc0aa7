"""Compares x86-64 with 64-bit Arm under emulation, photograph by photograph: `python tests/arm/parity.py --cache DIR`.

On both, the installed packages prepare and grade the same photographs with the same bundles. Decoded and prepared
pixels, faults, grades and actions must be equal, and the circle to a millionth of a pixel; probabilities and heat maps
may differ within `BOUNDS`. `watch` and `profile` must run. Emulation says nothing about speed, so no time is reported.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import emulator
import numpy as np
import photographs

_HERE = Path(__file__).resolve().parent
_REPOSITORY = _HERE.parents[1]
ENHANCEMENTS = ("none", "clahe", "green", "ben-graham")
CIRCLE_PIXELS = 1e-6
# variant -> largest difference of a probability, and of a heat map as a share of its range
BOUNDS = {
    "float32": (1e-4, 1e-3),
    "float16": (1e-4, 1e-3),
    "dynamic": (0.02, 0.05),
    "int8": (0.02, 0.05),
    "int16x8": (1e-3, 1e-2),
}


@dataclass
class Comparison:
    """What was compared, and what differed.

    Attributes:
        counts: name of a quantity -> [equal, compared].
        largest: name of a quantity -> largest difference.
        wrong: sentences on what must not differ and does.
    """

    counts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    largest: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, equal: bool, difference: float = 0.0) -> None:
        """Count a comparison."""
        self.counts[what][0] += equal
        self.counts[what][1] += 1
        self.largest[what] = max(self.largest.get(what, 0.0), difference)

    def lines(self) -> Iterator[str]:
        """Yield a line for each quantity."""
        for what, (equal, compared) in self.counts.items():
            yield f"  {what}: {equal} of {compared} equal, largest difference {self.largest[what]:.2g}"


def compare(here: Path, there: Path) -> Comparison:
    """Compare two files of `answers.py`.

    Args:
        here: from this machine.
        there: from the emulated processor.
    """
    comparison = Comparison()
    with np.load(here) as ours, np.load(there) as theirs:
        words, other_words = (json.loads(str(file["words"])) for file in (ours, theirs))
        if set(ours) != set(theirs) or set(words) != set(other_words):
            missing = sorted((set(ours) | set(words)) ^ (set(theirs) | set(other_words)))
            comparison.wrong.append(f"one processor has answers that the other lacks: {', '.join(missing[:5])}")
        for key in sorted(set(ours) & set(theirs) - {"words"}):
            _compare_arrays(comparison, key, ours[key], theirs[key])
        for key in sorted(words.keys() & other_words.keys()):
            what = key.rsplit("|", 1)[1]
            equal = words[key] == other_words[key]
            comparison.note(what, equal)
            if not equal:
                comparison.wrong.append(f"{key}: {words[key]} here, {other_words[key]} there")
    return comparison


def _compare_arrays(comparison: Comparison, key: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    _, settings, what = key.split("|")
    if ours.shape != theirs.shape:
        comparison.wrong.append(f"{key}: shape {ours.shape} here, {theirs.shape} there")
        return
    difference = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0))
    if what in ("probabilities", "heat maps"):
        variant = settings.rsplit(" ", 1)[1]
        bound = BOUNDS[variant][what == "heat maps"]
        if what == "heat maps":
            difference /= max(float(np.ptp(ours)), 1e-6)
        name = f"{what}, {settings}"
    else:
        bound = CIRCLE_PIXELS if what == "circle" else 0.0
        name = f"{what}, {settings}" if what == "prepared" else what
    comparison.note(name, difference == 0, difference)
    if not difference <= bound:
        comparison.wrong.append(f"{key}: differs by {difference:.3g}, at most {bound:.3g} is allowed")


def _check_commands(arm: emulator.Emulator, processor: str, bundle: Path, folder: Path) -> list[str]:
    """Run `watch` and `profile` on the emulated processor; return what went wrong."""
    wrong = []
    journal = folder / f"journal-{processor}.jsonl"
    report = folder / f"profile-{processor}.json"
    for file in (journal, report):
        file.unlink(missing_ok=True)
    camera = folder / "camera"
    camera.mkdir(exist_ok=True)
    for name in ("grade-0.jpg", "format.png"):
        (camera / name).write_bytes((folder / "drawn" / name).read_bytes())
    commands = {
        "watch": ["watch", str(bundle), str(camera), "--once", "--interval", "0", "--journal", str(journal)],
        "profile": [
            *("profile", str(bundle), "--variants", "int8", "--threads", "1", "--repeats", "1"),
            *("--json", str(report)),
        ],
    }
    for name, words in commands.items():
        done = arm.run_command(words, processor)
        if done.returncode:
            wrong.append(f"{name} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    if not wrong and len(journal.read_text().splitlines()) != 2:
        wrong.append("watch did not grade two photographs")
    if not wrong:
        content = json.loads(report.read_text())
        if content["machine"]["architecture"] != "aarch64":
            wrong.append("profile did not run on the emulated processor")
        for row in content["measurements"]:
            print(f"CompiledModel of {row['variant']} on {processor}: {row['compiled_error'] or 'runs'}")
    return wrong


def _plan(arguments: argparse.Namespace, folder: Path, bundles: Sequence[Path]) -> Path:
    """Write what both processors are to answer, and return the file."""
    drawn = folder / "drawn"
    photographs.draw(drawn)
    files = sorted(drawn.iterdir())
    sizes = [224]
    if not arguments.short:
        sizes = [224, 299, 512]
        if arguments.idrid:
            found = sorted(arguments.idrid.rglob("*.jpg"))
            files += found[:: max(1, len(found) // arguments.photographs)][: arguments.photographs]
    plan = folder / "plan.json"
    content = {
        "photographs": [str(file) for file in files],
        "sizes": sizes,
        "enhancements": ENHANCEMENTS,
        "bundles": [str(bundle) for bundle in bundles],
        "step": 9 if arguments.short else 4,  # a large network grades only each fourth photograph, or each ninth
    }
    plan.write_text(json.dumps(content))
    return plan


def _bundles(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    """Return the bundles to compare: drawn at random, shipped with the package, and given."""
    names = ["tiny:64"] if arguments.short else ["tiny:64", "densenet121:224", "resnet50v2:224"]
    words = [sys.executable, str(_HERE / "bundles.py"), str(folder), *names]
    subprocess.run(words, check=True, cwd=_REPOSITORY, stderr=subprocess.DEVNULL)
    made = [folder / name.replace(":", "-") for name in names]
    shipped = sorted(path.parent for path in (_REPOSITORY / "edge_demo" / "models").glob("*/bundle.json"))
    return [*made, *shipped, *(bundle.resolve() for bundle in arguments.bundle)]


def main() -> int:
    """Compare, print the report, and return 1 if something differs that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="the folder to set up the emulation in")
    parser.add_argument("--short", action="store_true", help="fewer photographs, sizes and networks, for CI")
    parser.add_argument("--idrid", type=Path, help="a folder of photographs, such as IDRiD's")
    parser.add_argument("--photographs", type=int, default=16, help="how many of them (default: 16)")
    parser.add_argument("--bundle", type=Path, action="append", default=[], help="a further bundle")
    arguments = parser.parse_args()
    cache = arguments.cache.resolve()
    arm = emulator.set_up(cache, emulator.build_wheel(cache / "wheel"))
    bundles = _bundles(arguments, cache / "bundles")
    plan = _plan(arguments, cache, bundles)
    here = cache / "here.npz"
    script = str(_HERE / "answers.py")
    subprocess.run([sys.executable, script, str(plan), str(here)], check=True, cwd=_REPOSITORY)

    def grade(processor: str) -> "subprocess.CompletedProcess[str]":
        return arm.run([script, str(plan), str(cache / f"{processor}.npz")], processor)

    print("Grading under emulation" + (" ..." if arguments.short else ": about half an hour ..."), file=sys.stderr)
    processors = (emulator.PLAIN, emulator.NEW)
    wrong: list[str] = []
    with ThreadPoolExecutor() as pool:  # each emulation is a process, which uses one core
        for processor, done in zip(processors, pool.map(grade, processors), strict=True):
            if done.returncode:
                print(f"error: grading ended with {done.returncode} on {processor}:\n{done.stderr[-2000:]}")
                return 1
            comparison = compare(here, cache / f"{processor}.npz")
            if processor == emulator.PLAIN or not arguments.short:
                comparison.wrong += _check_commands(arm, processor, bundles[0], cache)
            print(f"x86-64 and 64-bit Arm ({processor}, emulated; {processor_features(arm, processor)}):")
            print("\n".join(comparison.lines()), flush=True)
            wrong += [f"{processor}: {sentence}" for sentence in comparison.wrong]
    print(f"Differences that must not be: {len(wrong)}." if wrong else "Everything agrees.")
    print("\n".join(f"  {sentence}" for sentence in wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


def processor_features(arm: emulator.Emulator, processor: str) -> str:
    """Return which instructions for int8 products the emulated processor has."""
    program = (
        "from edge_demo.machine import int8_instructions as found;"
        "print(', '.join(found(open('/proc/cpuinfo').read())) or 'no instructions for int8 products')"
    )
    return arm.run(["-c", program], processor).stdout.strip() or "unknown instructions"


if __name__ == "__main__":
    sys.exit(main())
