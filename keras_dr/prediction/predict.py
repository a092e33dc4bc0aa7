"""Grades photographs with a Run or a Bundle, by default with LiteRT, which takes a fraction of the time of Keras."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.grading import Grading
from edge_demo.patients import eyes_of, people_of
from edge_demo.profiler import synthetic_photograph
from edge_demo.result_files import check_heatmaps, heatmap_files
from edge_demo.results import Failure, Outcome, count_actions, outcome_row
from edge_demo.shipped import find_bundle
from edge_demo.trial import try_model
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import MANIFESTS, read_manifest
from keras_dr.core.image_files import check_any_exists, find_images
from keras_dr.core.operating_point import points_of
from keras_dr.core.preprocessing import Preprocessing, prepare_image
from keras_dr.core.privacy import Privacy, shown_error, shown_name
from keras_dr.core.progress import Progress, no_progress
from keras_dr.core.quality import gradability_limits_of
from keras_dr.prediction.engines import Engine, keras_engine, litert_engine

ENGINES = ("litert", "keras")
_EXPORTED = "litert"  # folder in a run that holds a bundle with only the float32 file


@dataclass(frozen=True, eq=False)
class GradedPhotographs:
    """The results of grading photographs.

    Attributes:
        bundle: the bundle that graded them.
        outcomes: for each photograph, in their order, its grading or the reason why it could not be graded. The
            gradings have no arrays, because those of 20,000 photographs of 512 pixels would take 15 GiB.
    """

    bundle: Bundle
    outcomes: list[Outcome]

    @property
    def gradings(self) -> list[Grading]:
        """The gradings of the photographs that could be graded, in their order."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Grading)]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(path, message) of each photograph that could not be graded."""
        return [(outcome.path, outcome.error) for outcome in self.outcomes if isinstance(outcome, Failure)]

    @property
    def counts(self) -> dict[str, int]:
        """The number of photographs, in all and for each action; see `results.count_actions`."""
        return count_actions(map(outcome_row, self.outcomes))


def predict(
    source: Path | str,
    images: Sequence[Path | str],
    engine: str = "litert",
    progress: Progress = no_progress,
    *,
    operating_point: str | None = None,
    threshold: float | None = None,
    heatmaps: Path | str | None = None,
    overwrite: bool = False,
    privacy: Privacy | None = None,
) -> GradedPhotographs:
    """Grade photographs.

    Args:
        source: the folder of a Run or of a Bundle, or the name of a shipped grader. A Run is converted to a float32
            file once, which is kept in its folder. The default variant of a Bundle is used.
        images: photographs that were not prepared, folders of them, or tables that list them.
        engine: "litert" grades with LiteRT, which is the default; "keras" grades with Keras, and needs a Run.
        progress: called with (photographs done, number of photographs); by default nothing is called.
        operating_point: the name of the operating point at which photographs are referred; by default the default one.
        threshold: a threshold on the probability of referable DR instead, 0..1; by default that of the operating point.
        heatmaps: the folder for a picture of each photograph with its heat map and its result, see `Grading.picture`;
            by default none is drawn.
        overwrite: whether other files in that folder are replaced; by default they are refused.
        privacy: how results name the patients of DICOM files; by default by a keyed hash.

    Returns:
        The gradings, and the photographs that could not be graded.

    Raises:
        KerasDrError: `source` is neither a Run nor a Bundle, the engine is unknown, Keras is chosen for a Bundle, or
            there are no photographs.

    Example:
        >>> graded = dr.predict("bundles/idrid", ["eyes/"])
        >>> graded.gradings[0].grade, len(graded.failures)
        ('mild', 0)
    """
    source = find_bundle(source)
    photographs = list(find_images(map(Path, images)))
    if engine not in ENGINES:
        raise KerasDrError(f"The engine {engine!r} is not one of {', '.join(ENGINES)}.", "Correct --engine.")
    is_run = (source / MANIFESTS["run"]).is_file()
    if engine == "keras" and not is_run:
        raise KerasDrError(f"Keras needs a run, but {source} is not one.", "Leave --engine out, or name the run.")
    bundle = Bundle.load(bundle_at(source)).at(operating_point, threshold)
    check_any_exists([Path(name) for name in images])
    privacy = privacy or Privacy()
    pictures = _pictures(heatmaps, photographs, [source, *map(Path, images)], overwrite, privacy)
    if pictures and engine == "keras":
        raise KerasDrError("The engine keras draws no heat maps.", "Leave --engine out, or use explain.")
    if not is_run:  # a bundle may come from somewhere else
        try_model(bundle.model_path(bundle.default_variant()))
    if engine == "keras":
        grade = _with_keras(source, bundle, privacy)
    else:
        eyes = eyes_of(people_of(list(map(Path, images)), photographs, privacy)) if pictures else {}
        grade = litert_engine(bundle, pictures, privacy, eyes)
    results = grade(photographs, progress)
    outcomes: list[Outcome] = []
    for image, result in zip(photographs, results, strict=True):
        if isinstance(result, KerasDrError):
            outcomes.append(Failure(shown_name(image, privacy), shown_error(result, image, privacy)))
        else:
            outcomes.append(result)
    return GradedPhotographs(bundle, outcomes)


def _pictures(
    folder: Path | str | None, photographs: Sequence[Path], given: Sequence[Path], overwrite: bool, privacy: Privacy
) -> dict[Path, Path]:
    """Return photograph -> file of its picture, after a check that each can be written; empty without a folder."""
    if folder is None:
        return {}
    target = Path(folder)
    files = heatmap_files(target, photographs, privacy)
    check_heatmaps(target, files, [*given, *photographs], overwrite)
    files[0].parent.mkdir(parents=True, exist_ok=True)
    return dict(zip(photographs, files, strict=True))


def bundle_at(source: Path) -> Path:
    """Return `source` itself, or for a Run the bundle that `bundle_of` makes."""
    return bundle_of(source) if (source / MANIFESTS["run"]).is_file() else source


def bundle_of(run_folder: Path) -> Path:
    """Return the folder of a run's float32 bundle, which lies in the run; make it if none exists for its current model.

    Raises:
        KerasDrError: there is no Run, or its file differs too much from Keras on a drawn photograph.
    """
    target = run_folder / _EXPORTED
    run_about = read_manifest(run_folder, "run")
    current_model = {"model_sha256": run_about.get("model_sha256")}
    limits = gradability_limits_of(run_about)

    def exists() -> bool:
        about = read_manifest(target, "bundle") if (target / MANIFESTS["bundle"]).is_file() else {}
        has_models = bool(about.get("models"))  # it has none if the file differed too much
        same = about.get("run") == current_model and about.get("gradability_limits", {}) == limits
        is_current = same and _choices(about) == _choices(run_about)
        return is_current and has_models and "operating_point" in about

    if exists():
        return target
    from export.export_run import settings_of
    from export.write_bundle import Calibration, Validation, export_bundle
    from keras_dr.quiet import load_tensorflow

    load_tensorflow()
    from keras_dr.training.run import Run

    if exists():  # another process may have made it in the meantime
        return target
    run = Run.load(run_folder)
    photographs = drawn(run.preprocessing)
    export_bundle(
        run.model(),
        target,
        settings_of(run),
        Calibration(photographs, seed=0),
        Validation(photographs, np.zeros(len(photographs), np.int64)),
        variants=("float32",),
        overwrite=True,
    )
    return target


def _choices(about: dict[str, Any]) -> tuple[Any, ...]:
    """Return what `recalibrate`, `promise` and `prediction_sets` change in run.json, and a bundle takes over."""
    try:
        return about["temperature"], points_of(about), about.get("grade_sets")
    except (LookupError, TypeError, ValueError, AttributeError):  # damaged, which is reported where it is read
        return ()


def drawn(spec: Preprocessing) -> np.ndarray:
    """Return a drawn photograph and a darker copy of it, uint8 RGB (2, S, S, 3).

    They are enough to compare the float32 file with Keras; its conversion needs no photographs for calibration.
    """
    image = prepare_image(synthetic_photograph(), spec)
    return np.stack([image, image // 2])


def _with_keras(run_folder: Path, bundle: Bundle, privacy: Privacy) -> Engine:
    from keras_dr.quiet import load_tensorflow

    load_tensorflow()
    from keras_dr.training.run import Run

    run = Run.load(run_folder)
    return keras_engine(run.model(), run.temperature, bundle, privacy)
