"""Grade photographs with a Run or a Bundle; LiteRT unless Keras is asked for, since it takes a fraction of the time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import cv2
import numpy as np

from edge_demo.bundle import Bundle
from edge_demo.files import grade_file, one_of_many, read_photograph
from edge_demo.grader import Grader, Grading, Prepared
from edge_demo.machine import usable_cores
from edge_demo.profiler import synthetic_photograph
from edge_demo.trial import try_model
from keras_dr.errors import KerasDrError
from keras_dr.image_files import printable
from keras_dr.preprocessing import Preprocessing, prepare_image
from keras_dr.runs import MANIFESTS, read_manifest

ENGINES = ("litert", "keras")
_EXPORTED = "litert"  # folder inside a run: a bundle of float32 alone
_BATCH = 16
Progress = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What came out.

    Attributes:
        bundle: with what was graded.
        gradings: in the order of the photographs, without their arrays: of 20,000 photographs of 512 pixels these
            would take 15 GiB.
        failures: (photograph, message) of those that could not be graded.
    """

    bundle: Bundle
    gradings: list[Grading]
    failures: list[tuple[str, str]]


def predict(
    source: Path, images: Sequence[Path], engine: str = "litert", progress: Progress = lambda done, total: None
) -> Predictions:
    """Grade photographs.

    Args:
        source: a Run, whose float32 file is made once and kept inside it, or a Bundle, of which the default variant.
        images: photographs as published, not prepared.
        engine: one of `ENGINES`; "keras" needs a Run.
        progress: called with (photographs done, photographs).

    Raises:
        KerasDrError: neither a Run nor a Bundle, an unknown engine, or Keras for a Bundle.
    """
    if engine not in ENGINES:
        raise KerasDrError(f"an engine among {', '.join(ENGINES)}", repr(engine), "Correct --engine.")
    is_run = (source / MANIFESTS["run"]).is_file()
    if engine == "keras" and not is_run:
        raise KerasDrError(f"a run at {source} for Keras", "none", "Leave --engine out, or name the run.")
    bundle = Bundle.load(bundle_at(source))
    if not is_run:  # one that may come from elsewhere
        try_model(bundle.model_path(bundle.default_variant()))
    grade = _with_keras(source, bundle) if engine == "keras" else litert_engine(bundle)
    results = grade(images, progress)
    gradings = [result for result in results if isinstance(result, Grading)]
    found = zip(images, results, strict=True)
    failures = [(printable(image), str(result)) for image, result in found if isinstance(result, KerasDrError)]
    return Predictions(bundle, gradings, failures)


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
    from export.bundle import export_bundle
    from export.from_run import of_run
    from keras_dr.console import load_tensorflow

    load_tensorflow()
    from keras_dr.trained import load_run

    if is_there():  # another process may have made it meanwhile
        return target
    run = load_run(run_folder)
    plain = drawn(run.preprocessing)
    export_bundle(
        run.model(),
        target,
        **of_run(run),
        calibration_images=plain,
        calibration_seed=0,
        validation=(plain, np.zeros(len(plain), np.int64)),
        variants=("float32",),
        overwrite=True,
    )
    return target


def drawn(spec: Preprocessing) -> np.ndarray:
    """A photograph of no eye, plain and darker, uint8 RGB (2, S, S, 3); float32 is calibrated on nothing."""
    image = prepare_image(synthetic_photograph(), spec)
    return np.stack([image, image // 2])


Results = list[Grading | KerasDrError]
Engine = Callable[[Sequence[Path], Progress], Results]


def litert_engine(bundle: Bundle) -> Engine:
    """As many graders as cores, a thread each: no photograph waits for another's decoding."""

    def grade(images: Sequence[Path], progress: Progress) -> Results:
        workers = max(1, min(len(images), usable_cores()))
        cv2.setNumThreads(1 if workers > 1 else usable_cores())
        free: SimpleQueue[Grader] = SimpleQueue()
        for _ in range(workers):
            free.put(Grader(bundle, threads=1 if workers > 1 else usable_cores()))
        done = count(1)

        def one(image: Path) -> Grading | KerasDrError:
            grader = free.get()
            try:
                return _attempt(lambda: _slim(grade_file(grader, image)))
            finally:
                free.put(grader)
                progress(next(done), len(images))

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, images))

    return grade


def _with_keras(run_folder: Path, bundle: Bundle) -> Engine:
    from keras_dr.console import load_tensorflow

    load_tensorflow()
    from keras_dr.trained import load_run

    run = load_run(run_folder)
    return keras_engine(run.model(), run.temperature, bundle)


def keras_engine(model: Any, temperature: float, bundle: Bundle) -> Engine:
    """Batches through the trained model; preparation and conclusion are the grader's."""
    from export.parity import float_grader

    outputs_of, grader = float_grader(model, temperature), Grader(bundle)

    def grade(images: Sequence[Path], progress: Progress) -> Results:
        results: Results = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            prepared = [_attempt(partial(_prepare, grader, image)) for image in batch]
            whole = [one[0] for one in prepared if not isinstance(one, KerasDrError)]
            outputs = outputs_of(np.stack(whole)) if whole else None
            rows = iter(range(len(whole)))
            for image, one in zip(batch, prepared, strict=True):
                results.append(
                    one
                    if isinstance(one, KerasDrError)
                    else _attempt(partial(_conclude, grader, image, one, outputs, next(rows)))
                )
            progress(len(results), len(images))
        return results

    return grade


def _attempt(step: Callable[[], T]) -> T | KerasDrError:
    """What a step of one photograph gives, or why it could not."""
    try:
        with one_of_many():
            return step()
    except KerasDrError as error:
        return error


def _prepare(grader: Grader, image: Path) -> Prepared:
    return grader.prepare(grader.decode(read_photograph(image)))


def _conclude(grader: Grader, image: Path, prepared: Prepared, outputs: Any, row: int) -> Grading:
    pair = outputs.probabilities[row].astype(np.float32), outputs.heatmaps[row]
    return _slim(grader.conclude(printable(image), prepared, pair))


def _slim(grading: Grading) -> Grading:
    return replace(grading, heatmap=np.empty((0, 0), np.float32), prepared=np.empty((0, 0, 3), np.uint8))
