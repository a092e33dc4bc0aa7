"""Who imports whom: packages import only those on lower floors, no two files import each other, and what must run
without TensorFlow runs without it.
"""

import ast
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from places import ROOT

FLOORS = {
    "keras_dr.core": 1,
    **dict.fromkeys(
        (
            "keras_dr.datasets",
            "keras_dr.workers",
            "keras_dr.recipe",
            "keras_dr.synthetic",
            "keras_dr.quiet",
            "edge_demo",
        ),
        2,
    ),
    **dict.fromkeys(("keras_dr.preparation", "keras_dr.metrics", "keras_dr.models"), 3),
    "keras_dr.reports": 4,
    "keras_dr.training": 5,
    **dict.fromkeys(("keras_dr.explanation", "export"), 6),
    **dict.fromkeys(("keras_dr.evaluation", "keras_dr.prediction"), 7),
    "keras_dr.demo": 8,
    "keras_dr.commands": 9,
    "cli": 10,
    "keras_dr.__main__": 10,
}
# packages that may import TensorFlow, and the modules in them that do not
HEAVY = ("keras_dr.models", "keras_dr.training", "keras_dr.explanation", "keras_dr.evaluation", "export")
PURE_IN_HEAVY = (
    "keras_dr.training.augmentation",
    "keras_dr.models.torch_pickle",
    "keras_dr.models.torch_weights",
    "keras_dr.evaluation.compare",
    "keras_dr.evaluation.comparison_files",
    "keras_dr.evaluation.contenders",
    "export.engines",
    "export.engine_process",
    "export.profile_bundle",
)


def files() -> Iterator[Path]:
    yield ROOT / "cli.py"
    for folder in ("keras_dr", "edge_demo", "export"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in files()}


def package_of(module: str) -> str:
    """The entry of FLOORS that a module belongs to; the module itself where there is none."""
    return next((name for name in FLOORS if module == name or module.startswith(f"{name}.")), module)


def imports(module: str, at_start: bool = False) -> set[str]:
    """The project's modules that a module imports; with `at_start` not those that only its functions import."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    nodes = tree.body if at_start else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found if name in MODULES} - {module}


def test_every_module_is_on_a_floor() -> None:
    assert {package_of(module) for module in MODULES} <= {*FLOORS, "keras_dr"}


def test_packages_import_lower_floors_only() -> None:
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        for other in imports(module)
        if package_of(other) in FLOORS
        and package_of(module) in FLOORS
        and package_of(other) != package_of(module)
        and FLOORS[package_of(other)] >= FLOORS[package_of(module)]
    ]
    assert not wrong


def test_no_circle_between_files() -> None:
    """Not through functions either; packages' own files, which hold names alone, are left out."""
    graph = {module: imports(module) for module in MODULES if MODULES[module].name != "__init__.py"}
    TopologicalSorter(graph).prepare()


def test_a_device_imports_core_and_its_own_alone() -> None:
    for module in MODULES:
        if package_of(module) in ("keras_dr.core", "edge_demo"):
            assert {package_of(other) for other in imports(module)} <= {"keras_dr.core", "edge_demo", "keras_dr"}


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


def blocking(*packages: str) -> str:
    return f"import sys; sys.modules.update(dict.fromkeys({packages}))\n"


def pure_modules() -> list[str]:
    light = [module for module in MODULES if not module.startswith(HEAVY) and not module.endswith("__main__")]
    return [*light, *(module for module in PURE_IN_HEAVY if module in MODULES), "edge_demo.__main__"]


def test_pure_modules_never_import_tensorflow() -> None:
    done = run(blocking("tensorflow", "keras", "tf_keras_vis") + "import " + ", ".join(pure_modules()))
    assert done.returncode == 0, done.stderr


def test_ray_is_imported_by_its_engine_alone() -> None:
    done = run(blocking("ray", "pyarrow") + "import " + ", ".join(pure_modules()))
    assert done.returncode == 0, done.stderr


def test_the_device_needs_no_other_package() -> None:
    blocked = blocking("tensorflow", "keras", "sklearn", "matplotlib", "pydantic", "typer", "yaml", "scipy")
    device = [module for module in MODULES if package_of(module) in ("keras_dr.core", "edge_demo")]
    done = run(blocked + "import " + ", ".join(module for module in device if not module.endswith("litert_c")))
    assert done.returncode == 0, done.stderr


def test_patterns_in_the_configuration_match_files() -> None:
    tomllib = pytest.importorskip("tomllib")  # new in Python 3.11
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    patterns = list(settings["ruff"]["lint"]["per-file-ignores"])
    patterns += [one["module"].replace(".", "/") + ".py" for one in settings["mypy"]["overrides"]]
    patterns += [*settings["mypy"]["files"], *settings["coverage"]["run"]["source"]]
    for pattern in patterns:
        if pattern.startswith("cv2"):
            continue
        named = [pattern]
        if "{" in pattern:
            before, rest = pattern.split("{")
            middle, after = rest.split("}")
            named = [before + part + after for part in middle.split(",")]
        for one in named:
            assert (ROOT / one).exists() or (ROOT / f"{one}.py").exists() or list(ROOT.glob(one)), one


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "cli.py", "--help"], cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(6)) < 0.4


def test_a_device_imports_at_once() -> None:
    """In seconds of work, medians: less than twice what NumPy and OpenCV take by themselves, measured in turns."""
    ours, theirs = "edge_demo.grader, edge_demo.__main__", "numpy, cv2"
    seconds: dict[str, list[float]] = {ours: [], theirs: []}
    for _ in range(9):
        for modules, measured in seconds.items():
            measured.append(float(run(f"import time, {modules}; print(time.process_time())").stdout))
    assert statistics.median(seconds[ours]) < 2 * statistics.median(seconds[theirs])


def test_every_package_is_in_the_wheel() -> None:
    tomllib = pytest.importorskip("tomllib")
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    packages = [module for module, file in MODULES.items() if file.name == "__init__.py"]
    assert sorted(listed) == sorted([*packages, "edge_demo.web", "keras_dr.recipes"])
