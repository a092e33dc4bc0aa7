"""Throws broken and hostile files at everything that reads one, and counts what becomes of them.

    python tests/fuzz/hunt.py [--cases 10000] [--targets image,csv] [--seed 1] [--out fuzz]

A case is sound when it is accepted, or refused with a KerasDrError or OSError that says why. Each target runs in a
process of its own that is watched from here: one that dies (crash), takes more than 5 s of processor time or 30 s in
all (hang) or more than 1 GiB above what it held before (memory) is counted, its case kept, and the next case tried
in a fresh one. Coverage guides half of the cases of targets in pure Python (Atheris), where it can be installed.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from targets import TARGETS
from worker import MEMORY_MIB, ROOT, STATUS

CPU_SECONDS, WALL_SECONDS, START_SECONDS = 5, 30, 300
_POLL_SECONDS = 0.05
_CASES = 2500  # a process at most: Keras keeps most of a MiB of every model
COLUMNS = ("target", "cases", "refused", "accepted", "crashes", "hangs", "memory", "exceptions", "escapes", "peak MiB")


@dataclass
class Tally:
    """What became of a target's cases; `peak_mib` is memory above what the process held before the first."""

    target: str
    cases: int = 0
    refused: int = 0
    accepted: int = 0
    crashes: int = 0
    hangs: int = 0
    memory: int = 0
    exceptions: int = 0
    escapes: int = 0
    peak_mib: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not (self.crashes or self.hangs or self.memory or self.exceptions or self.escapes)


def hunt(name: str, cases: int, seed: int, folder: Path) -> Tally:
    """Try a target; findings and their cases stay in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tally = Tally(name)
    guided = TARGETS[name].guided and importlib.util.find_spec("atheris") is not None
    shares = {"atheris": cases // 2, "hypothesis": cases - cases // 2} if guided else {"hypothesis": cases}
    for engine, share in shares.items():
        goal = tally.cases + share
        while tally.cases < goal:
            before = tally.cases
            _run(name, engine, min(goal - before, _CASES), seed + before, folder, tally)
            if tally.cases == before:
                raise SystemExit(f"{name}: no case was tried; see {folder / 'output'}")
    notes = folder / "findings.jsonl"
    kinds = Counter(json.loads(line)["kind"] for line in (notes.read_text().splitlines() if notes.exists() else ()))
    tally.exceptions, tally.escapes = kinds["exception"] + kinds["silent"], kinds["escape"]
    return tally


def _run(name: str, engine: str, cases: int, seed: int, folder: Path, tally: Tally) -> None:
    """One worker process, until it ends or must be ended."""
    (folder / "status").write_bytes(bytes(STATUS.size))
    command = [sys.executable, str(ROOT / "tests/fuzz/worker.py"), name, engine, str(cases), str(seed), str(folder)]
    with (folder / "output").open("ab") as output:
        environment = _environment(name)
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        fault = _watch(process, folder / "status", tally)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    begun, ended, refused, accepted, *_ = STATUS.unpack((folder / "status").read_bytes())
    tally.cases, tally.refused, tally.accepted = tally.cases + begun, tally.refused + refused, tally.accepted + accepted
    if not fault and (begun > ended or process.returncode < 0):
        fault = "crashes"
    if fault:
        setattr(tally, fault, getattr(tally, fault) + 1)
        shutil.copy(folder / "case", folder / f"{fault}-{seed}")
        print(f"{name}: {fault}, kept as {folder}/{fault}-{seed}", file=sys.stderr, flush=True)


def _environment(name: str) -> dict[str, str]:
    fixed = {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    return os.environ | fixed | TARGETS[name].environment


def _watch(process: "subprocess.Popen[bytes]", status: Path, tally: Tally) -> str:
    """Why it must be ended, or nothing."""
    started, case, cpu_before, since, held = time.time(), 0, 0.0, time.time(), 0.0
    while process.poll() is None:
        time.sleep(_POLL_SECONDS)
        begun, ended, _, _, ready, _, base = STATUS.unpack(status.read_bytes())
        try:
            cpu, rss, peak = _usage(process.pid)
        except (OSError, LookupError):  # it has just ended
            continue
        if not ready:
            if time.time() - started > START_SECONDS:
                return "hangs"
            continue
        tally.peak_mib = max(tally.peak_mib, peak - base)
        if begun != case or begun == ended:
            case, cpu_before, since, held = begun, cpu, time.time(), rss
        elif cpu - cpu_before > CPU_SECONDS or time.time() - since > WALL_SECONDS:
            return "hangs"
        if held and rss - held > MEMORY_MIB:  # not since the first case: Keras keeps some of every model
            return "memory"
    return ""


def _usage(pid: int) -> tuple[float, float, float]:
    """Processor time in seconds, memory now and at most in MiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}  # none in one that has ended
    return cpu, int(kib["VmRSS"]) / 1024, int(kib["VmHWM"]) / 1024


def table(tallies: list[Tally]) -> str:
    """A row a target, in Markdown."""
    rows = [[f"{one.peak_mib:.0f}" if i == 9 else str(v) for i, v in enumerate(vars(one).values())] for one in tallies]
    lines = [list(COLUMNS), ["---"] + ["---:"] * (len(COLUMNS) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """The command; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="a target")
    parser.add_argument("--targets", default=",".join(TARGETS), help="joined by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="folder for findings")
    arguments = parser.parse_args()
    tallies = []
    for name in arguments.targets.split(","):
        started = time.time()
        tallies.append(hunt(name, arguments.cases, arguments.seed, arguments.out.resolve() / name))
        print(f"{tallies[-1]}  {time.time() - started:.0f} s", file=sys.stderr, flush=True)
    print(table(tallies))
    return 0 if all(one.sound for one in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
