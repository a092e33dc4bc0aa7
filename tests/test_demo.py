"""keras_dr.demo with a network that learns nothing: each stage reads the result of the stage before it."""

from pathlib import Path

import pytest

from keras_dr import demo
from keras_dr.core.errors import KerasDrError
from keras_dr.recipe import Recipe, recipe_from_dict


def short_recipe() -> Recipe:
    phase = {"epochs": 1, "learning_rate": 1e-3}
    return recipe_from_dict({"backbone": "tiny", "weights": "none", "frozen": phase, "finetune": phase})


@pytest.mark.slow
def test_it_writes_a_report_and_continues_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SIZE", 64)
    monkeypatch.setattr(demo, "demo_recipe", short_recipe)
    figures = demo.run_demo(tmp_path / "demo", count=60)
    assert figures["photographs"] == 12 and (tmp_path / "demo/bundle/profile.json").is_file()
    assert (tmp_path / "demo/site/index.html").is_file()
    report = tmp_path / "demo/report.html"
    text = report.read_text("utf-8")
    assert "On 12 test photographs" in text
    last = text[text.index("The result: ") :]
    assert "by the grader of this demo" in last and "by the shipped grader idrid-lite" in last
    with pytest.raises(KerasDrError, match=r"report\.html"):
        demo.run_demo(tmp_path / "demo", count=60)
    report.unlink()  # as if it had been stopped before
    trained = (tmp_path / "demo/run/model.keras").stat().st_mtime_ns
    assert demo.run_demo(tmp_path / "demo", count=60) == figures
    assert report.is_file() and (tmp_path / "demo/run/model.keras").stat().st_mtime_ns == trained
    with pytest.raises(KerasDrError, match="is not empty"):
        demo.run_demo(tmp_path, count=60)


def test_a_file_that_failed_its_gate_is_explained() -> None:
    figures = {"float32": {"photographs": 15}, "int8": {"photographs": 15}}
    bundle = {"models": {"float32": {}, "int8": {}}, "parity": {"failures": {}}}
    assert demo.gate_text(bundle, figures).endswith("on 15 validation photographs. float32 and int8 passed.")
    failed = bundle | {"parity": {"failures": {"int8": ["grade_agreement 0.867 < 0.98"]}}}
    text = demo.gate_text(failed, figures)
    assert "int8 did not: grade_agreement 0.867 < 0.98. So devices grade with another file" in text
    assert "a single changed grade weighs 6.7%" in text
