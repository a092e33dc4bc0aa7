"""edge_demo.operators: the profile of a model whose operators are known."""

import json
from pathlib import Path

import pytest
from edge_fixtures import write_bundle

from edge_demo import __main__ as command
from edge_demo import litert_c
from edge_demo.operators import OperatorProfile, profile_operators, summed, table
from keras_dr.core.errors import KerasDrError


@pytest.fixture(scope="module")
def of_float32(tmp_path_factory: pytest.TempPathFactory, models: dict[str, bytes]) -> OperatorProfile:
    folder = write_bundle(tmp_path_factory.mktemp("operators") / "bundle", models)
    (profile,) = profile_operators(folder, ["float32"], [1], repeats=3)
    return profile


def test_each_operator_of_the_model_is_timed(of_float32: OperatorProfile) -> None:
    names = " ".join(kind.name for kind in of_float32.kinds).lower()
    # cast, division, mean of blocks, 1x1 convolution, mean and softmax, as `edge_fixtures.convert` puts them together
    for part in ("cast", "pooling", "softmax"):
        assert part in names
    assert "convolution" in names or "fully connected" in names
    assert {kind.runs_in for kind in of_float32.kinds} <= {"XNNPACK", "LiteRT"}


def test_shares_add_up_and_operators_fit_into_the_invoke(of_float32: OperatorProfile) -> None:
    assert sum(kind.share for kind in of_float32.kinds) == pytest.approx(1)
    assert 0 < of_float32.operators_ms <= of_float32.profiled_ms
    assert of_float32.invoke_ms > 0


def test_sums_of_medians_by_hand() -> None:
    rounds = [
        [("XNNPACK", "Conv", first), ("LiteRT", "CAST", 1.0), ("XNNPACK", "Conv", second)]
        for first, second in ((2.0, 4.0), (3.0, 4.0), (90.0, 5.0))
    ]
    assert summed(rounds) == [
        {"name": "Conv", "runs_in": "XNNPACK", "count": 2, "ms": 7.0, "share": 0.875},
        {"name": "CAST", "runs_in": "LiteRT", "count": 1, "ms": 1.0, "share": 0.125},
    ]


def test_the_table_names_what_runs_where(of_float32: OperatorProfile) -> None:
    text = table([of_float32])
    assert text.startswith("float32, 1 thread") and "XNNPACK" in text and "per invoke under LiteRT's profiler" in text


def test_a_runtime_without_a_profiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import ai_edge_litert
    import numpy as np

    monkeypatch.setattr(ai_edge_litert, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(KerasDrError, match=r"libLiteRt cannot be loaded from .*\. Install ai-edge-litert 2\.3"):
        litert_c.ProfiledModel(b"", 1, np.zeros((8, 8, 3), np.uint8))


def test_cli_profile_writes_the_operators(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["profile", str(bundle_folder), "--variants", "int8", "--threads", "1", "--repeats", "2", "--operators"]
    assert command.main([*words, "--json", str(tmp_path / "p.json")]) == 0
    assert "time per kind of operator" in capsys.readouterr().out
    (profile,) = json.loads((tmp_path / "p.json").read_text())["operators"]
    assert profile["variant"] == "int8" and profile["kinds"][0]["ms"] > 0
