"""edge_demo.profiler: its measurements, and the processes that they run in."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edge_demo import __main__ as command
from edge_demo import budgets, cores, fresh_process, profiler
from edge_demo.machine import Machine, expectations, int8_instructions
from edge_demo.operators import Kind, OperatorProfile
from edge_demo.profile_table import table
from edge_demo.sustained import Sample, Sustained
from keras_dr.core.errors import KerasDrError
from keras_dr.core.machine import usable_cores

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "profile.schema.json"


def test_the_published_schema_has_every_field_of_a_profile() -> None:
    schema = json.loads(SCHEMA.read_text())
    kinds = {
        "measurement": profiler.Measurement,
        "failure": profiler.Failure,
        "timing": profiler.Timing,
        "machine": Machine,
        "operatorProfile": OperatorProfile,
        "operatorKind": Kind,
        "sustained": Sustained,
        "sample": Sample,
    }
    for name, kind in kinds.items():
        names = {field.name for field in fields(kind)} - ({"machine"} if name == "measurement" else set())
        assert set(schema["$defs"][name]["properties"]) == names, name


@pytest.mark.parametrize("text", ["abc", "", "0", "-1", "1,", "100000", "9" * 5000])
def test_threads_that_are_refused(text: str) -> None:
    with pytest.raises(KerasDrError, match="threads"):
        cores.parse_threads(text)


def test_threads_are_joined_by_commas() -> None:
    assert cores.parse_threads("1,2") == [1, 2]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only on Linux")
def test_cores_that_a_process_may_not_use_do_not_count() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_threads_in_words() -> None:
    words = [cores.threads_in_words(1), cores.threads_in_words(2), cores.threads_in_words(1, 2)]
    assert words == ["1 thread", "2 threads", "1 or 2 threads"]


def test_profile_refuses_more_threads_than_the_runtime_bears(bundle_folder: Path) -> None:
    with pytest.raises(
        KerasDrError, match=r"number of threads is 100000, but must be .* \(at most four for each core\)"
    ):
        profiler.profile(bundle_folder, threads=[100000])


def test_cli_profile_of_a_missing_photograph(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["profile", str(bundle_folder), "--image", "nope.jpg"]) == 1
    assert "The photograph nope.jpg cannot be read: No such file or directory. Check" in capsys.readouterr().err


def test_profile_measures_each_row_in_its_own_process(bundle_folder: Path, tmp_path: Path) -> None:
    measured = profiler.profile(bundle_folder, threads=[1, 2], repeats=3)
    rows = measured.measurements
    assert measured.failures == ()
    assert [(row.variant, row.threads) for row in rows] == [
        ("float32", 1),
        ("float32", 2),
        ("int8", 1),
        ("int8", 2),
    ]
    assert len({os.getpid(), *(row.pid for row in rows)}) == 5
    for row in rows:
        assert set(row.stages) == {"decode", "prepare", "invoke", "overlay"}
        assert 0 < row.total.p50_ms <= row.total.p90_ms <= row.total.p99_ms
        assert 0 < row.load_ms < row.first_result_ms < row.cold_start_ms
        assert row.photographs_per_s > 0 and row.steady_rss_mib <= row.peak_rss_mib
        # Half of the memory of a process that has imported TensorFlow, such as this one: nothing was inherited.
        assert 20 < row.baseline_rss_mib <= row.peak_rss_mib < 250
        assert "synthetic" in row.image
        assert row.total.p90_ms <= row.total.p95_ms <= row.total.p99_ms
        assert row.compiled_invoke is not None and row.compiled_difference == 0 and row.compiled_error is None
        memory = (row.baseline_rss_mib, row.runtime_rss_mib, row.model_rss_mib, row.arena_rss_mib)
        assert min(memory) >= 0 and sum(memory) <= row.peak_rss_mib
    text = table(measured)
    assert "float32" in text and "synthetic" in text and rows[0].machine.cpu in text
    profiler.write_json(tmp_path / "profile.json", measured)
    content = json.loads((tmp_path / "profile.json").read_text())
    assert content["machine"]["cores"] >= 1
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    assert content["measurements"][3]["stages"]["invoke"]["p50_ms"] == rows[3].stages["invoke"].p50_ms


def test_cli_profile(bundle_folder: Path, camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["profile", str(bundle_folder), "--image", str(camera / "a.jpg"), "--variants", "int8", "--threads", "1"]
    words += ["--repeats", "2", "--budget-ms", "0", "--budget-mib", "9999", "--json", str(tmp_path / "p.json")]
    assert command.main(words) == 1
    out = capsys.readouterr().out
    assert "No variant meets the budget. int8 with 1 thread misses it least, whose limit is 0." in out
    assert "variant" in out and "photograph," in out and "not a medical device" in out
    assert "int8, 1 thread: too much: " in out
    assert len(json.loads((tmp_path / "p.json").read_text())["measurements"]) == 1


def test_an_error_in_the_measuring_process_comes_back(bundle_folder: Path) -> None:
    with pytest.raises(KerasDrError, match="no decoder here can read as a photograph"):
        profiler.profile(bundle_folder, ["int8"], [1], b"no image", repeats=1)


def test_a_measuring_process_that_dies_is_reported(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(KerasDrError, match="process for a measurement of int8 with 1 thread ended with 1: no message"):
        profiler.profile(bundle_folder, ["int8"], [1], repeats=1)


@pytest.fixture
def crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A function that makes a module crash for a variant, as where the processor lacks an instruction."""
    (tmp_path / "crash.py").write_text("import os, signal, sys; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def crash(module: str, variant: str) -> None:
        def ask(asked: str, request: dict[str, Any], *arguments: Any) -> Any:
            crashes = asked == module and request["variant"] == variant
            return fresh_process.ask("crash" if crashes else asked, request, *arguments)

        monkeypatch.setattr(profiler, "ask", ask)

    return crash


ILLEGAL = "was ended by signal 4 (an illegal instruction: this processor, or its emulation, lacks an instruction"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no signals")
def test_where_one_model_crashes_the_others_are_measured(
    bundle_folder: Path, tmp_path: Path, crash: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    crash("edge_demo.measurement", "float32")
    file = tmp_path / "p.json"
    words = ["profile", str(bundle_folder), "--threads", "1", "--repeats", "1", "--json", str(file)]
    assert command.main(words) == 1
    out = capsys.readouterr().out
    reason = f"The process for a measurement of float32 with 1 thread {ILLEGAL}"
    assert f"NOT MEASURED: float32, 1 thread. {reason}" in out
    content = json.loads(file.read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    assert [row["variant"] for row in content["measurements"]] == ["int8"]
    assert content["failures"][0]["reason"].startswith(reason)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no signals")
def test_where_compiled_model_crashes_the_model_is_measured(
    bundle_folder: Path, crash: Callable[[str, str], None]
) -> None:
    crash("edge_demo.compiled", "int8")
    measured = profiler.profile(bundle_folder, ["int8"], [1], repeats=1)
    (row,) = measured.measurements
    assert measured.failures == () and row.total.p50_ms > 0
    assert row.compiled_invoke is None and row.compiled_difference is None
    assert row.compiled_error is not None and ILLEGAL in row.compiled_error
    assert "CompiledModel does not run here; grade uses the Interpreter, which does. The process for" in table(measured)


@pytest.mark.parametrize(
    ("cpuinfo", "names"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni amx_int8\n", ("AVX-512 VNNI", "AMX")),
        ("Features\t: fp asimd asimddp i8mm\n", ("Arm dot product", "Arm i8mm")),
        ("flags : fpu avx2\n", ()),
        ("", ()),
    ],
)
def test_int8_instructions_are_named(cpuinfo: str, names: tuple[str, ...]) -> None:
    assert int8_instructions(cpuinfo) == names


@pytest.mark.parametrize(
    ("int8", "architecture", "words"),
    [
        (("AMX",), "x86_64", "AMX.*less time \\(0.67"),
        ((), "x86_64", "no special instructions.*hardly less time"),
        (("Arm dot product",), "aarch64", "Arm dot product.*not been measured on Arm"),
        ((), "riscv64", "unknown for this processor.*time is unknown"),
    ],
)
def test_expectations_of_int8(int8: tuple[str, ...], architecture: str, words: str) -> None:
    assert re.search(words, expectations(int8, architecture, {"int8": 2.0}), re.DOTALL)


def test_expectations_name_the_variants_asked_for() -> None:
    lines = expectations((), "x86_64", {"float32": 8.49, "int8": 5.66, "mine": 1.0}).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["float32", "int8"]
    assert lines[1].split(";")[0] == "  int8     5.66 MiB (67% of float32)"


def test_the_variant_that_misses_the_budget_least_is_named(bundle_folder: Path) -> None:
    (row,) = profiler.profile(bundle_folder, ["int8"], [1], repeats=1).measurements
    total = profiler.Timing(10, 20, 20, 20, 1)
    slow = replace(row, variant="slow", total=replace(total, p90_ms=30.0), peak_rss_mib=100.0)
    large = replace(row, variant="large", total=total, peak_rss_mib=400.0)
    text, fits = budgets.fitting([slow, large], budget_ms=10, budget_mib=100)
    assert not fits
    assert (
        text.splitlines()[-1] == "No variant meets the budget. slow with 1 thread misses it least, by a factor of 3.00."
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only on Linux")
def test_a_measurement_is_pinned_to_cores(bundle_folder: Path) -> None:
    core = min(os.sched_getaffinity(0))
    measured = profiler.profile(bundle_folder, ["int8"], [1], repeats=1, cpus=[core])
    assert measured.measurements[0].cpus == (core,)
    assert f"in a fresh process on core {core}." in table(measured)


@pytest.mark.parametrize(
    ("text", "message"),
    [("x", "whole numbers"), ("4096", "no core 4096"), ("1-0", "is empty"), ("-1", "whole numbers")],
)
def test_cores_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(KerasDrError, match=message):
        cores.check_cpus(cores.parse_cpus(text))
