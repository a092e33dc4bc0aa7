"""What must run without TensorFlow runs without it, also through the modules that it imports."""

import subprocess
import sys
import time

import pytest
from places import ROOT

PURE = [
    "keras_dr",
    "keras_dr.preparation.audit",
    "keras_dr.training.augmentation",
    "keras_dr.reports.bundle",
    "keras_dr.metrics.calibration",
    "keras_dr.prediction.cluster",
    "keras_dr.prediction.parts",
    "keras_dr.prediction.photograph_list",
    "keras_dr.workers.ray_cluster",
    "keras_dr.evaluation.compare",
    "keras_dr.evaluation.comparison_files",
    "keras_dr.recipe",
    "keras_dr.quiet",
    "keras_dr.datasets",
    "keras_dr.core.decision",
    "keras_dr.core.decoding",
    "keras_dr.preparation.duplicates",
    "keras_dr.core.errors",
    "keras_dr.reports.evaluation",
    "keras_dr.reports.evaluation_tables",
    "keras_dr.core.encoding",
    "keras_dr.core.fundus",
    "keras_dr.datasets.grades",
    "keras_dr.core.image_files",
    "keras_dr.metrics.intervals",
    "keras_dr.preparation.label_spaces",
    "keras_dr.reports.preparation",
    "keras_dr.metrics.measure",
    "keras_dr.reports.model_card",
    "keras_dr.metrics.operating_points",
    "keras_dr.core.overlay",
    "keras_dr.preparation.photograph",
    "keras_dr.preparation.preview",
    "keras_dr.reports.plots",
    "keras_dr.metrics.predictions",
    "keras_dr.preparation.prepared_set",
    "keras_dr.preparation.prepare",
    "keras_dr.core.preprocessing",
    "keras_dr.core.quality",
    "keras_dr.datasets.records",
    "keras_dr.metrics.referral",
    "keras_dr.reports.html",
    "keras_dr.core.folders",
    "keras_dr.preparation.seen",
    "keras_dr.preparation.splits",
    "keras_dr.metrics.subgroups",
    "keras_dr.synthetic.photographs",
    "keras_dr.models.torch_weights",
    "keras_dr.core.truncation",
    "keras_dr.metrics.weighted",
    "keras_dr.workers.processes",
    "cli",
    "edge_demo.__main__",
    "edge_demo.operators",
    "edge_demo.profiler",
    "export.engines",
    "keras_dr.prediction.predict",
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
