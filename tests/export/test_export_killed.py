"""An export that was killed after it had moved a failed variant."""

from pathlib import Path

import pytest
from graders import export, grader

from export import write_bundle
from export.variants import file_name
from keras_dr.core.errors import KerasDrError
from keras_dr.recipe import ParityLimits, VariantLimits


@pytest.mark.parametrize("variant", ["float16", "onnx"])
def test_an_export_killed_after_its_gate_goes_on(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if variant == "onnx":
        pytest.importorskip("tf2onnx")

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    unreachable = ParityLimits(**{variant: VariantLimits(largest_probability_difference=0)})
    model = grader()
    settings = {"variants": ("float32", variant), "limits": unreachable}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(write_bundle, "_describe", die)
        export(model, tmp_path / "bundle", **settings)
    with pytest.raises(KerasDrError, match=f"{variant}: largest_probability_difference"):
        export(model, tmp_path / "bundle", **settings)
    failed = {file.name for file in (tmp_path / "bundle" / "failed").iterdir()}
    assert failed == {f"{variant}.json", file_name(variant)}
    assert (tmp_path / "bundle" / "float32.tflite").is_file()
