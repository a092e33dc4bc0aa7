"""`make bench`: every benchmark with a peer is run, and what they report stands in one table and one file."""

import json
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FAKE = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import common

given = common.parser(__doc__, repeats=3).parse_args()
common.report("theirs / ours", "a snail", range(1, given.repeats + 1), at_least=2)
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import run

    return run


def written(bench: ModuleType, folder: Path, scripts: dict[str, str], arguments: str, **data: str) -> dict:
    benchmarks = {}
    for name, script in scripts.items():
        (folder / f"{name}.py").write_text(script)
        benchmarks[name] = bench.Benchmark(arguments, arguments, folder)
    done = bench.run_all(benchmarks, data, folder / "out.json", stand_ins={})
    return json.loads((folder / "out.json").read_text()) | {"succeeded": done}


def test_figures_come_into_one_table_and_one_file(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = written(bench, tmp_path, {"fake": FAKE}, "--repeats 5")
    assert found["succeeded"] and found["machine"]["cpu"] and found["versions"]["numpy"]
    assert found["benchmarks"][0]["figures"][0]["ratios"] == [1, 2, 3, 4, 5]
    assert "| fake | theirs / ours | a snail | 3 (1 to 5, 5) | at least 2 | yes |" in capsys.readouterr().out


def test_a_missing_path_is_a_reason_to_skip(bench: ModuleType, tmp_path: Path) -> None:
    found = written(bench, tmp_path, {"fake": FAKE}, "$RUN")
    assert found["succeeded"] and found["benchmarks"][0]["status"] == "skipped: name RUN"


def test_a_path_is_put_in_its_place(bench: ModuleType, tmp_path: Path) -> None:
    echo = f"import sys\nopen({str(tmp_path / 'said')!r}, 'w').write(' '.join(sys.argv[1:]))\n"
    found = written(bench, tmp_path, {"fake": echo}, "$RUN --fast", RUN="runs/own")
    assert found["succeeded"] and (tmp_path / "said").read_text() == "runs/own --fast"


def test_one_that_fails_does_not_stop_the_others(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = written(bench, tmp_path, {"broken": "raise SystemExit(3)", "fake": FAKE}, "")
    assert [one["status"] for one in found["benchmarks"]] == ["failed: exit 3", "done"] and not found["succeeded"]
    assert "| broken | failed: exit 3 |" in capsys.readouterr().out


@pytest.mark.parametrize(("median", "held"), [(1.9, False), (2.0, True), (3.0, True), (3.1, False)])
def test_the_median_is_held_against_the_goal(bench: ModuleType, median: float, held: bool) -> None:
    figure = bench.common.Figure("a / b", "b", (0.1, median, 9.0), at_least=2, at_most=3)
    assert figure.held is held and figure.goal == "at least 2, at most 3"


def test_ways_take_turns_and_the_first_round_does_not_count(bench: ModuleType) -> None:
    order: list[str] = []
    times = bench.common.take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert order == ["a", "b", "b", "a", "a", "b"] and times["a"].shape == (2, 2)


def test_every_benchmark_is_run_or_said_to_have_no_peer(bench: ModuleType) -> None:
    scripts = {file.stem for file in BENCHMARKS.glob("*.py")} - {"common", "run", "record"}
    assert scripts == {*bench.BENCHMARKS, *bench.NO_PEER}, "add a line to benchmarks/run.py"
