"""Grade photographs with a Run or a Bundle; LiteRT unless Keras is asked for, since it takes a fraction of the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.grader import Grading
from edge_demo.profiler import synthetic_photograph
from edge_demo.results import Failure, Outcome, count_actions, outcome_row
from edge_demo.trial import try_model
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import MANIFESTS, read_manifest
from keras_dr.core.image_files import find_images, printable
from keras_dr.core.preprocessing import Preprocessing, prepare_image
from keras_dr.core.progress import Progress, no_progress
from keras_dr.prediction.engines import Engine, keras_engine, litert_engine

ENGINES = ("litert", "keras")
_EXPORTED = "litert"  # folder inside a run: a bundle of float32 alone


@dataclass(frozen=True, eq=False)
class GradedPhotographs:
    """What came out.

    Attributes:
        bundle: with what was graded.
        outcomes: what became of each photograph, in their order; gradings without their arrays: of 20,000 photographs
            of 512 pixels these would take 15 GiB.
    """

    bundle: Bundle
    outcomes: list[Outcome]

    @property
    def gradings(self) -> list[Grading]:
        """Of the photographs that could be graded, in their order."""
        return [one for one in self.outcomes if isinstance(one, Grading)]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(photograph, message) of those that could not."""
        return [(one.path, one.error) for one in self.outcomes if isinstance(one, Failure)]

    @property
    def counts(self) -> dict[str, int]:
        """How many were given, and for what; see `results.count_actions`."""
        return count_actions(map(outcome_row, self.outcomes))


def predict(
    source: Path | str,
    images: Sequence[Path | str],
    engine: str = "litert",
    progress: Progress = no_progress,
) -> GradedPhotographs:
    """Grade photographs.

    Args:
        source: the folder of a Run, whose float32 file is made once and kept inside it, or of a Bundle, of which the
            default variant is taken.
        images: photographs as published, not prepared; folders of them; or tables that list them.
        engine: "litert", or "keras" for a Run.
        progress: called with (photographs done, photographs).

    Returns:
        The gradings, and the photographs that could not be graded.

    Raises:
        KerasDrError: neither a Run nor a Bundle, an unknown engine, Keras for a Bundle, or no photographs.

    Example:
        >>> graded = dr.predict("bundles/idrid", ["eyes/"])
        >>> graded.gradings[0].grade, len(graded.failures)
        ('mild', 0)
    """
    source = Path(source)
    photographs = list(find_images(map(Path, images)))
    if engine not in ENGINES:
        raise KerasDrError(f"The engine {engine!r} is not one of {', '.join(ENGINES)}.", "Correct --engine.")
    is_run = (source / MANIFESTS["run"]).is_file()
    if engine == "keras" and not is_run:
        raise KerasDrError(f"Keras needs a run, but {source} is none.", "Leave --engine out, or name the run.")
    bundle = Bundle.load(bundle_at(source))
    if not is_run:  # one that may come from elsewhere
        try_model(bundle.model_path(bundle.default_variant()))
    grade = _with_keras(source, bundle) if engine == "keras" else litert_engine(bundle)
    results = grade(photographs, progress)
    outcomes: list[Outcome] = [
        Failure(printable(image), str(result)) if isinstance(result, KerasDrError) else result
        for image, result in zip(photographs, results, strict=True)
    ]
    return GradedPhotographs(bundle, outcomes)


def bundle_at(source: Path) -> Path:
    """`source` itself, or of a Run what `bundle_of` makes."""
    return bundle_of(source) if (source / MANIFESTS["run"]).is_file() else source


def bundle_of(run_folder: Path) -> Path:
    """The bundle of a run's float32 file, inside the run; made where there is none of its present model.

    Raises:
        KerasDrError: no Run there, or its file strays from Keras on a drawn photograph.
    """
    target = run_folder / _EXPORTED
    wanted = {"model_sha256": read_manifest(run_folder, "run").get("model_sha256")}

    def is_there() -> bool:
        about = read_manifest(target, "bundle") if (target / MANIFESTS["bundle"]).is_file() else {}
        return about.get("run") == wanted and bool(about.get("models"))  # none where the file strayed

    if is_there():
        return target
    from export.export_run import settings_of
    from export.write_bundle import Calibration, Validation, export_bundle
    from keras_dr.quiet import load_tensorflow

    load_tensorflow()
    from keras_dr.training.run import Run

    if is_there():  # another process may have made it meanwhile
        return target
    run = Run.load(run_folder)
    plain = drawn(run.preprocessing)
    export_bundle(
        run.model(),
        target,
        settings_of(run),
        Calibration(plain, seed=0),
        Validation(plain, np.zeros(len(plain), np.int64)),
        variants=("float32",),
        overwrite=True,
    )
    return target


def drawn(spec: Preprocessing) -> np.ndarray:
    """A photograph of no eye, plain and darker, uint8 RGB (2, S, S, 3); float32 is calibrated on nothing."""
    image = prepare_image(synthetic_photograph(), spec)
    return np.stack([image, image // 2])


def _with_keras(run_folder: Path, bundle: Bundle) -> Engine:
    from keras_dr.quiet import load_tensorflow

    load_tensorflow()
    from keras_dr.training.run import Run

    run = Run.load(run_folder)
    return keras_engine(run.model(), run.temperature, bundle)
