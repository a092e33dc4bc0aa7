"""Gives broken and hostile files to all code that reads files, and counts the outcomes.

    python tests/fuzz/hunt.py [--cases 10000] [--targets image,csv] [--seed 1] [--out fuzz]

A case passes if it is accepted, or refused with a KerasDrError or OSError that has a message. Each target runs in a
process of its own, which this process watches. These are findings: the process dies (crash); it takes more than 5 s of
processor time or 30 s altogether for a case (hang); or it takes more than 1 GiB in addition to its memory before the
case (memory). The case of a finding is kept, and the next case is tried in a fresh process. For targets in pure Python,
coverage guides half of the cases (Atheris), if it is installed.
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

CPU_SECONDS = 5
WALL_SECONDS = 30
START_SECONDS = 300
_POLL_SECONDS = 0.05
_CASES = 2500  # at most per process, because Keras keeps almost a MiB of every model
COLUMNS = ("target", "cases", "refused", "accepted", "crashes", "hangs", "memory", "exceptions", "escapes", "peak MiB")


@dataclass
class Tally:
    """The outcomes of a target's cases; `peak_mib` is the memory in addition to that before the first case."""

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
        """Whether there is no finding."""
        return not (self.crashes or self.hangs or self.memory or self.exceptions or self.escapes)


def hunt(name: str, cases: int, seed: int, folder: Path) -> Tally:
    """Try the cases of a target, and keep findings and their cases in `folder`."""
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
    findings = folder / "findings.jsonl"
    lines = findings.read_text().splitlines() if findings.exists() else []
    kinds = Counter(json.loads(line)["kind"] for line in lines)
    tally.exceptions = kinds["exception"] + kinds["silent"]
    tally.escapes = kinds["escape"]
    return tally


def _run(name: str, engine: str, cases: int, seed: int, folder: Path, tally: Tally) -> None:
    """Run a worker process until it ends or must be killed."""
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
    tally.cases += begun
    tally.refused += refused
    tally.accepted += accepted
    if not fault and (begun > ended or process.returncode < 0):
        fault = "crashes"
    if fault:
        setattr(tally, fault, getattr(tally, fault) + 1)
        shutil.copy(folder / "case", folder / f"{fault}-{seed}")
        print(f"{name}: {fault}, the case is kept as {folder}/{fault}-{seed}", file=sys.stderr, flush=True)


def _environment(name: str) -> dict[str, str]:
    fixed = {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    return os.environ | fixed | TARGETS[name].environment


def _watch(process: "subprocess.Popen[bytes]", status: Path, tally: Tally) -> str:
    """Watch a worker until it ends; return the reason why it must be killed, or ""."""
    start = time.time()
    case = 0
    case_start = start
    case_cpu_s = 0.0
    case_rss_mib = 0.0
    while process.poll() is None:
        time.sleep(_POLL_SECONDS)
        begun, ended, _, _, ready, _, base_mib = STATUS.unpack(status.read_bytes())
        try:
            cpu_s, rss_mib, peak_mib = _usage(process.pid)
        except (OSError, LookupError):  # it has just ended
            continue
        if not ready:
            if time.time() - start > START_SECONDS:
                return "hangs"
            continue
        tally.peak_mib = max(tally.peak_mib, peak_mib - base_mib)
        if begun != case or begun == ended:  # a new case, or none
            case = begun
            case_start = time.time()
            case_cpu_s = cpu_s
            case_rss_mib = rss_mib
        elif cpu_s - case_cpu_s > CPU_SECONDS or time.time() - case_start > WALL_SECONDS:
            return "hangs"
        if case_rss_mib and rss_mib - case_rss_mib > MEMORY_MIB:  # in this case only: Keras keeps some of every model
            return "memory"
    return ""


def _usage(pid: int) -> tuple[float, float, float]:
    """Return a process's seconds of processor time, its memory and its peak memory in MiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}  # empty if it has ended
    return cpu_s, int(kib["VmRSS"]) / 1024, int(kib["VmHWM"]) / 1024


def table(tallies: list[Tally]) -> str:
    """Return a Markdown table with a row per target."""
    lines = [list(COLUMNS), ["---"] + ["---:"] * (len(COLUMNS) - 1)]
    for tally in tallies:
        values = vars(tally) | {"peak_mib": round(tally.peak_mib)}
        lines.append([str(value) for value in values.values()])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run the targets; return 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="cases per target")
    parser.add_argument("--targets", default=",".join(TARGETS), help="names joined by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="folder for findings")
    arguments = parser.parse_args()
    tallies = []
    for name in arguments.targets.split(","):
        start = time.time()
        tallies.append(hunt(name, arguments.cases, arguments.seed, arguments.out.resolve() / name))
        print(f"{tallies[-1]}  {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    print(table(tallies))
    return 0 if all(tally.sound for tally in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
