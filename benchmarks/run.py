"""Runs all benchmarks that have a named peer, one after another, each in its own process, and prints one table.

    make bench [IDRID=...] [FULLRES=...] [PREPARED=...] [RUN=...]
    python benchmarks/run.py [NAME...] [--smallest] [--out benchmarks/results.json]

Environment variables name the data, as above: IDRID is that data set; FULLRES is a folder of JPEG photographs at a
camera's full size; PREPARED is a prepared set; RUN is a trained run, with its prepared set at the place in run.json.
Without FULLRES or PREPARED, photographs are drawn (PREPARED: made from IDRID if that is named). Without RUN, benchmarks
that need a run are skipped. `--smallest` only checks that each benchmark runs. With NAME, the results of the other
benchmarks stay in the file.
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

import keras_dr as dr

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """A script and its arguments.

    Attributes:
        arguments: arguments for meaningful figures, minutes on two cores; $IDRID and so on stand for data, and are left
            out if they end with "?" and were not named.
        smallest: arguments for the shortest run.
        folder: the script's folder.
    """

    arguments: str
    smallest: str
    folder: Path = HERE


# Every script of this folder that has a peer; the others are in NO_PEER.
BENCHMARKS = {
    "prepare": Benchmark("$FULLRES --repeats 3", "$FULLRES --sizes 96 --repeats 1"),
    "pipeline": Benchmark("--repeats 9", "--backbone tiny --size 32 --batch 4 --steps 1 --repeats 1"),
    "frozen_phase": Benchmark("$PREPARED --epochs 20", "$PREPARED --backbone tiny --epochs 2"),
    "predict": Benchmark("--photographs 256 --repeats 5", "--size 32 --photographs 4 --batch 4 --repeats 1"),
    "predict_engines": Benchmark("--count 64 --repeats 5", "--backbone tiny --size 32 --count 2 --repeats 1"),
    "explain": Benchmark("$RUN? --repeats 5 --photographs 100", "--backbone tiny --size 32 --batch 2 --repeats 1"),
    "edge_start": Benchmark("--repeats 5", "--size 64 --repeats 1"),
    "edge_photograph": Benchmark("--repeats 50", "--backbone tiny --size 32 --repeats 2"),
    "invoke": Benchmark("", "--repeats 2"),
    "page": Benchmark("", "--repeats 1"),
    "quantisers": Benchmark("$RUN --repeats 30", "$RUN --variants dynamic --photographs 2 --repeats 2"),
}
NO_PEER = {
    "cut_files": "how many files that are cut short are refused: counts, not a comparison",
    "copies": "how well copies are recognised: shares of photographs, not a comparison",
    "scaling": "the cost of a million photographs; with --engines, the work of each engine compared with Ray Data",
    "streaming_memory": "how memory grows with the number of photographs: compared with itself",
    "folds_robustness": "which recipe stands changes of the camera: cross-validations compared with each other",
    "probes": "which pretrained network sees most: networks compared with each other",
    "averages": "whether several cross-validations grade better together: compared with each other",
    "page_agreement": "how far the page and Python agree: differences of pixels and numbers, not a comparison of speed",
    "whole_way": "the cost of training, explaining and exporting each backbone: a table, not a comparison",
}


Paths = Mapping[str, str]
StandIn = Callable[[Path, Paths], Path]


def draw_photographs(folder: Path, named: Paths) -> Path:
    """Draw JPEG photographs that are large enough to be decoded at reduced scale for 224 and 448 pixels."""
    from keras_dr.synthetic.photographs import write_dataset

    write_dataset(folder, count=4, seed=1, size=(1424, 2144), workers=1)
    return folder / "images"


def make_prepared(folder: Path, named: Paths) -> Path:
    """Make a Prepared set: of IDRiD at 224 pixels if it is named, otherwise of drawn photographs at 96."""
    folder.mkdir()
    if not named.get("IDRID"):
        return common.draw_set(folder, 96).folder
    return dr.prepare(named["IDRID"], folder / "idrid").folder


# Data for which drawn photographs can be used. A run is not among them: an untrained network's figures would mislead.
STAND_INS: Mapping[str, StandIn] = {"FULLRES": draw_photographs, "PREPARED": make_prepared}


class Data:
    """Paths of data by name. Data that are not named are made once, if that is possible."""

    def __init__(self, named: Paths, folder: Path, stand_ins: Mapping[str, StandIn]) -> None:
        self.named = dict(named)
        self.folder = folder
        self.stand_ins = stand_ins
        self.made: set[str] = set()

    def find(self, name: str) -> str | None:
        """Return the path of the data; None if there are none."""
        if not self.named.get(name) and name in self.stand_ins:
            print(f"{name} is not named: a stand-in is made", flush=True)
            self.named[name] = str(self.stand_ins[name](self.folder / name, self.named))
            self.made.add(name)
        return self.named.get(name) or None


def run_one(name: str, benchmark: Benchmark, smallest: bool, data: Data) -> dict[str, Any]:
    """Run a benchmark, and return its command, its status, and its figures as `common.Figure`."""
    arguments = benchmark.smallest if smallest else benchmark.arguments
    shown_words = [f"{name}.py"]  # with the names of data
    words = []  # with their paths
    missing = []
    made = []
    for word in arguments.split():
        if not word.startswith("$"):
            shown_words.append(word)
            words.append(word)
            continue
        data_name = word[1:].rstrip("?")
        path = data.find(data_name)
        if path is None and word.endswith("?"):
            continue
        shown_words.append(f"${data_name}")
        if path is None:
            missing.append(data_name)
            continue
        words.append(path)
        if data_name in data.made:
            made.append(data_name)
    shown = " ".join(shown_words)
    if missing:
        return {"name": name, "command": shown, "status": f"skipped: name {', '.join(missing)}", "figures": []}
    file = data.folder / f"{name}.jsonl"
    print(f"\n== {shown}", flush=True)
    start = perf_counter()
    conditions = {"date": now(), "load": round(os.getloadavg()[0], 1)}
    script = str(benchmark.folder / f"{name}.py")
    done = subprocess.run([sys.executable, script, *words], env={**os.environ, common.JSON_FILE: str(file)})
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {
        "name": name,
        "command": shown + (f" (not named: {', '.join(made)})" if made else ""),
        "status": "done" if done.returncode == 0 else f"failed: exit {done.returncode}",
        "seconds": round(perf_counter() - start, 1),
        **conditions,
        "figures": [json.loads(line) for line in lines],
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table with a line per figure, or the reason why a benchmark has none."""
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
    """Return the date and time, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="minutes")


def surroundings() -> dict[str, Any]:
    """Return the date, the machine and the versions."""
    from edge_demo.machine import machine
    from keras_dr.core.folders import versions

    return {"date": now(), "machine": asdict(machine()), "versions": versions()}


def earlier(file: Path, names: Collection[str]) -> list[dict[str, Any]]:
    """Return a results file's benchmarks except these; none if the file comes from the smallest arguments."""
    results = json.loads(file.read_bytes()) if file.is_file() else {"smallest": True}
    if results["smallest"]:
        return []
    return [benchmark for benchmark in results["benchmarks"] if benchmark["name"] not in names]


def run_all(
    benchmarks: Mapping[str, Benchmark],
    data: Paths,
    out: Path,
    smallest: bool = False,
    stand_ins: Mapping[str, StandIn] = STAND_INS,
) -> bool:
    """Run benchmarks, print the table, write `out`, and return whether none failed.

    Args:
        benchmarks: name -> script and arguments.
        data: name -> path, such as the environment.
        out: JSON file to write.
        smallest: whether to use the arguments for the shortest run.
        stand_ins: name -> function that makes data that are not in `data`, in a folder.
    """
    about = surroundings()
    with tempfile.TemporaryDirectory() as folder:
        all_data = Data(data, Path(folder), stand_ins)
        results = [run_one(name, benchmark, smallest, all_data) for name, benchmark in benchmarks.items()]
    if not smallest:
        results = sorted([*earlier(out, benchmarks), *results], key=lambda result: result["name"])
    print("\n" + table(results))
    if smallest:
        print("\nThese are the smallest arguments: the figures only show that the benchmarks run.")
    machine = about["machine"]
    print(f"\n{about['date']}, {machine['cpu']}, {machine['usable_cores']} cores")
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))
    out.write_text(json.dumps({**about, "smallest": smallest, "benchmarks": results}, indent=1) + "\n", "utf-8")
    print(f"Result: {out}")
    return not any(result["status"].startswith("failed") for result in results)


def main() -> None:
    """Parse and run; exit with 1 if a benchmark failed."""
    parser = common.parser(__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"benchmarks to run (default: {', '.join(BENCHMARKS)})"
    )
    parser.add_argument("--smallest", action="store_true", help="only check that each benchmark runs")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
    names = arguments.names or BENCHMARKS
    chosen = {name: benchmark for name, benchmark in BENCHMARKS.items() if name in names}
    sys.exit(0 if run_all(chosen, os.environ, arguments.out, arguments.smallest) else 1)


if __name__ == "__main__":
    main()
