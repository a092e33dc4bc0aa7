"""Tries the cases of one target, one after the other, in a process that `hunt` watches.

    python tests/fuzz/worker.py TARGET ENGINE CASES SEED FOLDER

Outcomes are written to FOLDER immediately, so that they survive this process: `status` (numbers) and `findings.jsonl`.
"""

import hashlib
import json
import mmap
import os
import resource
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
STATUS = struct.Struct("<5Q2d")  # cases begun, ended, refused, accepted; ready; time of writing; RSS in MiB when ready
MEMORY_MIB = 1024
FORBIDDEN = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod")


class Log:
    """The outcomes of the cases."""

    def __init__(self, folder: Path) -> None:
        file = folder / "status"
        if not file.exists():
            file.write_bytes(bytes(STATUS.size))
        with file.open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), STATUS.size)
        self.begun, self.ended, self.refused, self.accepted, *_ = STATUS.unpack(self._memory[:])
        self.ready = 0
        self.base_mib = 0.0
        self.folder = folder

    def write(self) -> None:
        numbers = (self.begun, self.ended, self.refused, self.accepted, self.ready, time.time(), self.base_mib)
        self._memory[:] = STATUS.pack(*numbers)

    def finding(self, kind: str, what: str, where: str) -> None:
        with (self.folder / "findings.jsonl").open("a") as stream:
            stream.write(json.dumps({"kind": kind, "what": what[:300], "where": where}) + "\n")
        name = hashlib.sha256(f"{kind} {where}".encode()).hexdigest()[:12]
        kept = self.folder / f"{kind}-{name}"
        if not kept.exists():
            kept.write_bytes((self.folder / "case").read_bytes())


def rss_mib() -> float:
    """Return the present memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def forbid_escapes(box: Path, log: Log) -> Callable[[bool], None]:
    """Record actions that a loader must never do: programs, sockets, pickles, writes outside its folder.

    Returns:
        A function that switches the recording on and off.
    """
    allowed = (str(box.resolve()), str(log.folder.resolve()), "/dev/", "/proc/")
    watching = [False]

    def outside(path: Any) -> bool:
        if isinstance(path, int) or path is None:
            return False
        text = os.fsdecode(path)
        return not os.path.realpath(text).startswith(allowed)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching[0]:
            return
        wrote = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING and outside(arguments[0])
        changed = event in _CHANGES and outside(arguments[0])
        own_decoder = event == "subprocess.Popen" and "dicom_decoder.answer()" in str(arguments[1])
        if wrote or changed or (event in FORBIDDEN and not own_decoder):
            watching[0] = False
            log.finding("escape", f"{event} {arguments!r}", event)
            watching[0] = True

    sys.addaudithook(hook)

    def watch(on: bool) -> None:
        watching[0] = on

    return watch


def make_trial(target: Any, box: Path, log: Log) -> Callable[[bytes], None]:
    """Return a function that tries a case and records its outcome."""
    from keras_dr.core.errors import KerasDrError

    watch = forbid_escapes(box, log)
    file = box / target.file

    def trial(data: bytes) -> None:
        (log.folder / "case").write_bytes(data)
        file.write_bytes(data)
        log.begun += 1
        log.write()
        watch(True)
        try:
            target.attempt(box)
            log.accepted += 1
        except (KerasDrError, OSError) as error:
            log.refused += 1
            if not str(error):
                log.finding("silent", type(error).__name__, _place(error))
        except BaseException as error:
            log.finding("exception", f"{type(error).__name__}: {str(error)[:200]}", _place(error))
        finally:
            watch(False)
        log.ended += 1
        log.write()

    return trial


def _place(error: BaseException) -> str:
    """Return the type of the exception, and the innermost line of this project in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if str(ROOT) in frame.filename and "/fuzz/" not in frame.filename]
    last = (own or list(frames))[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def fuzz_by_hypothesis(trial: Callable[[bytes], None], target: Any, seeds: list[bytes], cases: int, seed: int) -> None:
    """Try mutants of the seeds, and cases of the target's grammar."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    mutants = st.builds(
        lambda base, number: target.mutate(base, Random(number)), st.sampled_from(seeds), st.integers(0, 2**64 - 1)
    )
    strategy = st.one_of(mutants, mutants, target.grammar()) if target.grammar else mutants
    remaining = [cases]

    @hypothesis.seed(seed)
    @settings(
        max_examples=cases, database=None, deadline=None, phases=(Phase.generate,), suppress_health_check=HealthCheck
    )
    @given(strategy)
    def run(data: bytes) -> None:
        remaining[0] -= 1
        trial(data)

    run()
    while remaining[0] > 0:  # Hypothesis ends earlier if it has tried all the cases that it knows
        seed += 1
        remaining[0] -= 1
        trial(target.mutate(seeds[seed % len(seeds)], Random(seed)))


def fuzz_by_atheris(trial: Callable[[bytes], None], target: Any, seeds: list[bytes], cases: int, folder: Path) -> None:
    """Try mutants of cases that reached new lines; this does not return."""
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = Random(seed)
        return (target.mutate(data, rng) if rng.random() < 0.5 else atheris.Mutate(data, max_size))[:max_size]

    options = [f"-runs={cases}", "-max_len=1000000", "-rss_limit_mb=0", "-malloc_limit_mb=0", "-timeout=100000"]
    atheris.Setup(
        ["fuzz", *options, "-verbosity=0", "-len_control=0", str(corpus)],
        trial,
        custom_mutator=mutate,
        internal_libfuzzer=True,
    )
    atheris.Fuzz()


def main(name: str, engine: str, cases: int, seed: int, folder: Path) -> None:
    """Try `cases` cases."""
    box = folder / "box"
    box.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(box)
    with ExitStack() as stack:
        if engine == "atheris":
            import atheris

            stack.enter_context(atheris.instrument_imports(include=["keras_dr", "edge_demo", "yaml", "json", "csv"]))
        from targets import TARGETS

        target = TARGETS[name]
        target.load()
    log = Log(folder)
    seeds = target.prepare(box)
    trial = make_trial(target, box, log)
    os.chdir(box)
    log.ready = 1
    log.base_mib = rss_mib()
    if target.limited:  # not if the runtime itself reserves much more address space than memory
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_MIB * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log.write()
    if engine == "atheris":
        fuzz_by_atheris(trial, target, seeds, cases, folder)
    else:
        fuzz_by_hypothesis(trial, target, seeds, cases, seed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]).resolve())
