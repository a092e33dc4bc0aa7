"""What must run without TensorFlow runs without it, also through the modules that it imports."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PURE = [
    "keras_dr",
    "keras_dr.audit",
    "keras_dr.augmentation",
    "keras_dr.bundle_card",
    "keras_dr.calibration",
    "keras_dr.cluster.grading",
    "keras_dr.cluster.parts",
    "keras_dr.cluster.photographs",
    "keras_dr.cluster.spreading",
    "keras_dr.comparison",
    "keras_dr.comparison_files",
    "keras_dr.config",
    "keras_dr.console",
    "keras_dr.datasets",
    "keras_dr.decision",
    "keras_dr.decoding",
    "keras_dr.duplicates",
    "keras_dr.errors",
    "keras_dr.evaluation_report",
    "keras_dr.evaluation_tables",
    "keras_dr.files",
    "keras_dr.fundus",
    "keras_dr.grades",
    "keras_dr.image_files",
    "keras_dr.intervals",
    "keras_dr.label_spaces",
    "keras_dr.listings",
    "keras_dr.metrics",
    "keras_dr.model_card",
    "keras_dr.operating_points",
    "keras_dr.overlay",
    "keras_dr.photograph",
    "keras_dr.pictures",
    "keras_dr.plots",
    "keras_dr.predictions",
    "keras_dr.prepared",
    "keras_dr.preparing",
    "keras_dr.preprocessing",
    "keras_dr.quality",
    "keras_dr.records",
    "keras_dr.referral",
    "keras_dr.report",
    "keras_dr.runs",
    "keras_dr.seen",
    "keras_dr.splits",
    "keras_dr.subgroups",
    "keras_dr.synthetic",
    "keras_dr.torch_weights",
    "keras_dr.truncation",
    "keras_dr.weighted",
    "keras_dr.workers",
    "cli",
    "edge_demo.__main__",
    "edge_demo.operators",
    "edge_demo.profiler",
    "export.engines",
    "export.predicting",
]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def test_pure_modules_never_import_tensorflow() -> None:
    blocked = "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = sys.modules['tf_keras_vis'] = None\n"
    done = run(blocked + "import " + ", ".join(PURE))
    assert done.returncode == 0, done.stderr


def test_ray_is_imported_by_its_engine_alone() -> None:
    blocked = "import sys; sys.modules['ray'] = sys.modules['pyarrow'] = None\n"
    done = run(blocked + "import " + ", ".join(PURE))
    assert done.returncode == 0, done.stderr


def test_the_device_needs_no_other_package() -> None:
    names = ("tensorflow", "keras", "sklearn", "matplotlib", "pydantic", "typer", "yaml")
    blocked = f"import sys; sys.modules.update(dict.fromkeys({names}))\n"
    done = run(blocked + "import edge_demo.__main__, edge_demo.grader, edge_demo.measurement")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["cli.py"])
def test_help_answers_at_once(command: str) -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, command, "--help"], cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 0.4


def test_a_device_imports_at_once() -> None:
    """Seconds of work, not on the clock: those are the reading of NumPy's and OpenCV's files, and other programs'."""
    code = "import time, edge_demo.grader, edge_demo.__main__; print(time.process_time())"
    assert min(float(run(code).stdout) for _ in range(3)) < 0.3
