"""An export that was killed after it had set a failed variant apart."""

from pathlib import Path

import pytest
from test_export import export, grader

from export import bundle
from keras_dr.config import ParityLimits, VariantLimits
from keras_dr.errors import KerasDrError


def test_an_export_killed_after_its_gate_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*rest: object) -> None:
        raise KeyboardInterrupt

    missed = ParityLimits(float16=VariantLimits(largest_probability_difference=0))
    model, words = grader(), {"variants": ("float32", "float16"), "limits": missed}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bundle, "_describe", die)
        export(model, tmp_path / "bundle", **words)
    with pytest.raises(KerasDrError, match="float16: largest_probability_difference"):
        export(model, tmp_path / "bundle", **words)
    assert sorted(file.name for file in (tmp_path / "bundle" / "failed").iterdir()) == [
        "float16.json",
        "float16.tflite",
    ]
    assert (tmp_path / "bundle" / "float32.tflite").is_file()
