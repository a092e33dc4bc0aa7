"""All benchmarks that have a named peer, one after another, each in its own process; ends with one table.

    make bench [IDRID=...] [FULLRES=...] [PREPARED=...] [RUN=...]
    python benchmarks/run.py [NAME...] [--smallest] [--out benchmarks/results.json]

Data are named in the environment, as above: IDRID, that data set; FULLRES, a folder of JPEG photographs as a camera
leaves them; PREPARED, a prepared set; RUN, a trained run, with its prepared set where run.json says. Without FULLRES
and PREPARED photographs are drawn (PREPARED: made of IDRID, if that is named); without RUN what needs one is skipped.
`--smallest` only shows that each starts. With NAME the others' results stay as they are in the file.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

import common
import numpy as np

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """A script and what it is given.

    Attributes:
        arguments: for figures worth keeping, minutes on two cores; $IDRID and so on stand for data, and go if they end
            with "?" and were not named.
        smallest: what ends soonest.
        folder: where the script lies.
    """

    arguments: str
    smallest: str
    folder: Path = HERE


# Every script of this folder with a peer: those without one are in NO_PEER.
BENCHMARKS = {
    "prepare": Benchmark("$FULLRES --repeats 3", "$FULLRES --sizes 96 --repeats 1"),
    "pipeline": Benchmark("--repeats 9", "--backbone tiny --size 32 --batch 4 --steps 1 --repeats 1"),
    "frozen_phase": Benchmark("$PREPARED --epochs 20", "$PREPARED --backbone tiny --epochs 2"),
    "predict": Benchmark("--photographs 256 --repeats 5", "--size 32 --photographs 4 --batch 4 --repeats 1"),
    "predict_engines": Benchmark("--count 16 --repeats 5", "--backbone tiny --size 32 --count 2 --repeats 1"),
    "explain": Benchmark("$RUN? --repeats 5", "--backbone tiny --size 32 --batch 2 --repeats 1"),
    "edge_start": Benchmark("--repeats 5", "--size 64 --repeats 1"),
    "edge_photograph": Benchmark("--repeats 50", "--backbone tiny --size 32 --repeats 2"),
    "quantisers": Benchmark("$RUN --repeats 30", "$RUN --variants dynamic --photographs 2 --repeats 2"),
}
NO_PEER = {
    "cut_files": "which files that end within their picture are refused: counts, not a comparison",
    "copies": "how well copies are told: shares of photographs, not a comparison",
    "scaling": "what a million photographs cost; with --engines, the work of each engine beside Ray Data's",
    "streaming_memory": "how memory grows with the number of photographs: compared with itself",
}


Paths = Mapping[str, str]
StandIn = Callable[[Path, Paths], Path]


def draw_photographs(folder: Path, named: Paths) -> Path:
    """JPEG photographs large enough to be decoded at reduced scale for 224 and 448 pixels."""
    from keras_dr.synthetic.photographs import write_dataset

    write_dataset(folder, count=4, seed=1, size=(1424, 2144), workers=1)
    return folder / "images"


def make_prepared(folder: Path, named: Paths) -> Path:
    """A Prepared set: of IDRiD at 224 pixels where it is named, else of drawn photographs at 96."""
    folder.mkdir()
    if not named.get("IDRID"):
        return common.draw_set(folder, 96).folder
    words = [sys.executable, str(common.ROOT / "cli.py"), "prepare", named["IDRID"], str(folder / "idrid")]
    subprocess.run(words, check=True)
    return folder / "idrid"


# What drawn photographs can stand in for. Not a run: figures of a network that has learned nothing mislead.
STAND_INS: Mapping[str, StandIn] = {"FULLRES": draw_photographs, "PREPARED": make_prepared}


class Data:
    """Paths of data by name; what was not named is made, once, if it can be."""

    def __init__(self, named: Paths, folder: Path, stand_ins: Mapping[str, StandIn]) -> None:
        self.named, self.folder, self.stand_ins = dict(named), folder, stand_ins
        self.made: set[str] = set()

    def find(self, name: str) -> str | None:
        """Path, or None."""
        if not self.named.get(name) and name in self.stand_ins:
            print(f"{name} is not named: making one", flush=True)
            self.named[name] = str(self.stand_ins[name](self.folder / name, self.named))
            self.made.add(name)
        return self.named.get(name) or None


def run_one(name: str, benchmark: Benchmark, smallest: bool, data: Data) -> dict[str, Any]:
    """Run a benchmark: its command, how it ended, and its figures as `common.Figure`."""
    arguments = benchmark.smallest if smallest else benchmark.arguments
    words = arguments.split()
    names = [word[1:].rstrip("?") for word in words if word.startswith("$")]
    found = {one: data.find(one) for one in names}
    words = [word for word in words if not word.endswith("?") or found[word[1:-1]]]
    shown = f"{name}.py {' '.join(words)}".replace("?", "")
    missing = [word[1:] for word in words if word.startswith("$") and not found[word[1:].rstrip("?")]]
    if missing:
        return {"name": name, "command": shown, "status": f"skipped: name {', '.join(missing)}", "figures": []}
    words = [found[word[1:].rstrip("?")] if word.startswith("$") else word for word in words]
    file = data.folder / f"{name}.jsonl"
    print(f"\n== {shown}", flush=True)
    start = perf_counter()
    begun = {"date": now(), "load": round(os.getloadavg()[0], 1)}
    script = str(benchmark.folder / f"{name}.py")
    done = subprocess.run([sys.executable, script, *words], env={**os.environ, common.JSON_FILE: str(file)})
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    made = ", ".join(one for one in names if one in data.made)
    return {
        "name": name,
        "command": shown + (f" (not named: {made})" if made else ""),
        "status": "done" if done.returncode == 0 else f"failed: exit {done.returncode}",
        "seconds": round(perf_counter() - start, 1),
        **begun,
        "figures": [json.loads(line) for line in lines],
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, a line a figure; benchmarks that did not run say why."""
    lines = ["| benchmark | figure | peer | median (least to most, n) | goal | held |", "|---|---|---|---|---|---|"]
    for result in results:
        for values in result["figures"]:
            figure = common.Figure(**values | {"ratios": tuple(values["ratios"])})
            low, median, high = np.quantile(figure.ratios, (0, 0.5, 1))
            spread = f"{median:.3g} ({low:.3g} to {high:.3g}, {len(figure.ratios)})"
            held = {True: "yes", False: "**no**", None: ""}[figure.held]
            lines.append(f"| {result['name']} | {figure.what} | {figure.peer} | {spread} | {figure.goal} | {held} |")
        if result["status"] != "done" or not result["figures"]:
            reason = result["status"] if result["status"] != "done" else "no figure reported"
            lines.append(f"| {result['name']} | {reason} | | | | |")
    return "\n".join(lines)


def now() -> str:
    """Date and time, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="minutes")


def surroundings() -> dict[str, Any]:
    """When, on which machine, and with which versions."""
    from edge_demo.machine import machine
    from keras_dr.core.folders import versions

    return {"date": now(), "machine": asdict(machine()), "versions": versions()}


def earlier(file: Path, names: Collection[str]) -> list[dict[str, Any]]:
    """What a results file holds of other benchmarks than these; nothing of ones that say nothing."""
    found = json.loads(file.read_bytes()) if file.is_file() else {"smallest": True}
    return [] if found["smallest"] else [one for one in found["benchmarks"] if one["name"] not in names]


def run_all(
    benchmarks: Mapping[str, Benchmark],
    data: Paths,
    out: Path,
    smallest: bool = False,
    stand_ins: Mapping[str, StandIn] = STAND_INS,
) -> bool:
    """Run benchmarks, print the table, write `out`; whether none failed.

    Args:
        benchmarks: name -> script and arguments.
        data: name -> path, such as the environment.
        out: JSON file to write.
        smallest: with the arguments that end soonest.
        stand_ins: name -> how to make what is not in `data`, in a folder.
    """
    about = surroundings()
    with tempfile.TemporaryDirectory() as folder:
        known = Data(data, Path(folder), stand_ins)
        results = [run_one(name, one, smallest, known) for name, one in benchmarks.items()]
    if not smallest:
        results = sorted([*earlier(out, benchmarks), *results], key=lambda one: one["name"])
    print("\n" + table(results))
    if smallest:
        print("\nWith the smallest arguments: all start and end, and the figures say nothing.")
    where = about["machine"]
    print(f"\n{about['date']}, {where['cpu']}, {where['usable_cores']} cores")
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))
    out.write_text(json.dumps({**about, "smallest": smallest, "benchmarks": results}, indent=1) + "\n", "utf-8")
    print(f"Result: {out}")
    return not any(result["status"].startswith("failed") for result in results)


def main() -> None:
    """Parse and run; exit 1 where a benchmark failed."""
    parser = common.parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all without it")
    parser.add_argument("--smallest", action="store_true", help="see that each works; its figures say nothing")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
    chosen = {name: one for name, one in BENCHMARKS.items() if not given.names or name in given.names}
    sys.exit(0 if run_all(chosen, os.environ, given.out, given.smallest) else 1)


if __name__ == "__main__":
    main()
