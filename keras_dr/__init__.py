"""Grade diabetic retinopathy on retinal fundus photographs: train, evaluate, explain, export.

    import keras_dr as dr

    data = dr.prepare("IDRiD", "prepared/idrid", size=512)
    run = dr.train(data, "runs/idrid", recipe="recipes/idrid.yaml")
    result = dr.evaluate(run, split="test")
    bundle = dr.export(run, "bundles/idrid", variants=["float32", "int8"])
    grading = dr.Grader(bundle).grade("eye.jpg")

Each name is imported when it is first used, so that devices and `--help` load only the modules that they need.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# name -> the module that defines it
_MODULES = {
    "Bundle": "edge_demo.bundle",
    "Comparison": "keras_dr.evaluation.comparison",
    "CrossValidation": "keras_dr.training.folds",
    "Evaluation": "keras_dr.evaluation.evaluate",
    "Explanation": "keras_dr.explanation.explain_run",
    "GradedPhotographs": "keras_dr.prediction.predict",
    "Gradability": "keras_dr.evaluation.gradability",
    "Grader": "edge_demo.grader",
    "Grading": "edge_demo.grading",
    "Inspection": "keras_dr.datasets.inspection",
    "KerasDrError": "keras_dr.core.errors",
    "PreparedSet": "keras_dr.preparation.prepared_set",
    "Profile": "export.profile_bundle",
    "Recipe": "keras_dr.recipe",
    "Run": "keras_dr.training.run",
    "SourceOptions": "keras_dr.datasets.options",
    "audit": "keras_dr.preparation.audit",
    "compare": "keras_dr.evaluation.compare",
    "cross_validate": "keras_dr.training.folds",
    "ensemble": "keras_dr.training.ensemble",
    "evaluate": "keras_dr.evaluation.evaluate",
    "explain": "keras_dr.explanation.explain_run",
    "export": "export.export_run",
    "export_web": "edge_demo.site",
    "gradability": "keras_dr.evaluation.gradability",
    "inspect": "keras_dr.datasets.inspection",
    "predict": "keras_dr.prediction.predict",
    "prediction_sets": "keras_dr.evaluation.prediction_sets",
    "prepare": "keras_dr.preparation.prepare",
    "profile": "export.profile_bundle",
    "promise": "keras_dr.evaluation.promise",
    "recalibrate": "keras_dr.training.recalibrate",
    "train": "keras_dr.training.train",
}
# the names that need TensorFlow, which is then imported first, without its start-up messages
_WITH_TENSORFLOW = {
    "CrossValidation",
    "Evaluation",
    "Explanation",
    "Gradability",
    "Run",
    "cross_validate",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "gradability",
    "prediction_sets",
    "promise",
    "recalibrate",
    "train",
}
__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        if name in _WITH_TENSORFLOW:
            from keras_dr.quiet import load_tensorflow

            load_tensorflow()
        value = getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"keras_dr.{name} needs the package {error.name}, which is not installed. "
            "Install the packages for a workstation: pip install 'keras_dr[train]', or '.[train]' in a clone."
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return all public names, including those that are not imported yet."""
    return __all__


if TYPE_CHECKING:  # for editors and mypy
    from edge_demo.bundle import Bundle as Bundle
    from edge_demo.grader import Grader as Grader
    from edge_demo.grading import Grading as Grading
    from edge_demo.site import export_web as export_web
    from export.export_run import export as export
    from export.profile_bundle import Profile as Profile
    from export.profile_bundle import profile as profile
    from keras_dr.core.errors import KerasDrError as KerasDrError
    from keras_dr.datasets.inspection import Inspection as Inspection
    from keras_dr.datasets.inspection import inspect as inspect
    from keras_dr.datasets.options import SourceOptions as SourceOptions
    from keras_dr.evaluation.compare import compare as compare
    from keras_dr.evaluation.comparison import Comparison as Comparison
    from keras_dr.evaluation.evaluate import Evaluation as Evaluation
    from keras_dr.evaluation.evaluate import evaluate as evaluate
    from keras_dr.evaluation.gradability import Gradability as Gradability
    from keras_dr.evaluation.gradability import gradability as gradability
    from keras_dr.evaluation.prediction_sets import prediction_sets as prediction_sets
    from keras_dr.evaluation.promise import promise as promise
    from keras_dr.explanation.explain_run import Explanation as Explanation
    from keras_dr.explanation.explain_run import explain as explain
    from keras_dr.prediction.predict import GradedPhotographs as GradedPhotographs
    from keras_dr.prediction.predict import predict as predict
    from keras_dr.preparation.audit import audit as audit
    from keras_dr.preparation.prepare import prepare as prepare
    from keras_dr.preparation.prepared_set import PreparedSet as PreparedSet
    from keras_dr.recipe import Recipe as Recipe
    from keras_dr.training.ensemble import ensemble as ensemble
    from keras_dr.training.folds import CrossValidation as CrossValidation
    from keras_dr.training.folds import cross_validate as cross_validate
    from keras_dr.training.recalibrate import recalibrate as recalibrate
    from keras_dr.training.run import Run as Run
    from keras_dr.training.train import train as train
