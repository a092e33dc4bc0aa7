"""Runs that learn from other runs."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_dr as dr
from keras_dr.core.errors import KerasDrError
from keras_dr.models.heads import softmax
from keras_dr.preparation.splits import Fold
from keras_dr.recipe import recipe_from_dict
from keras_dr.training.distillation import FILE, Lessons, find_teachers, learn_from, teachers_of_fold
from keras_dr.training.pipeline import Photographs

PHASE = {"epochs": 1, "learning_rate": 1e-3}
TINY = {"backbone": "tiny", "weights": "none", "frozen": PHASE, "finetune": PHASE | {"augment": False}}


def recipe_with_teacher(teacher: Path, share: float, **settings: Any) -> dr.Recipe:
    return recipe_from_dict(TINY | {"teachers": [str(teacher)], "distillation": {"share": share}} | settings)


def weights_of(run: dr.Run) -> list[np.ndarray]:
    return keras.saving.load_model(run.folder / "model.keras", compile=False).get_weights()


def test_targets_are_a_mean_of_teachers_and_labels() -> None:
    lessons = Lessons(np.array([[[0.2, 0.8]], [[0.6, 0.4]]], np.float32), share=0.25)
    label = np.array([[1.0, 0.0]], np.float32)
    assert lessons.targets(0, label) == pytest.approx(np.array([[0.8, 0.2]]))  # .25 * .2 + .75
    assert lessons.targets(3, label) == pytest.approx(np.array([[0.9, 0.1]]))  # the second view again


def test_the_logits_of_two_teachers_are_averaged(run_folder: Path, prepared_folder: Path, tmp_path: Path) -> None:
    data = dr.PreparedSet.load(prepared_folder).split("train")
    copy = shutil.copytree(run_folder, tmp_path / "copy")
    recipe = recipe_from_dict(TINY | {"teachers": [str(run_folder), str(copy)]})
    first, second = find_teachers(recipe, data)
    second = dr.Run.from_manifest(second.folder, second.about | {"temperature": 3 * second.temperature})
    photographs = Photographs(data.image_files(), data.preprocessing.size)
    lessons = learn_from(
        [first, second], recipe, lambda view: photographs.batches(16), tmp_path, lambda *progress: None
    )
    logits = first.model().predict(photographs.array().astype(np.float32), verbose=0)
    mean = (logits / first.temperature + logits / second.temperature) / 2
    assert lessons.probabilities.shape == (1, *logits.shape)  # one view without augmentation
    assert lessons.probabilities[0] == pytest.approx(softmax(mean), abs=1e-4)


def test_a_teacher_that_is_named_twice_is_refused(run_folder: Path, prepared_folder: Path) -> None:
    data = dr.PreparedSet.load(prepared_folder).split("train")
    recipe = recipe_from_dict(TINY | {"teachers": [str(run_folder), f"{run_folder}/"]})
    with pytest.raises(KerasDrError, match="is named more than once"):
        find_teachers(recipe, data)


def test_a_teacher_without_a_share_changes_nothing(run_folder: Path, prepared_folder: Path, tmp_path: Path) -> None:
    alone = dr.train(prepared_folder, tmp_path / "alone", recipe_from_dict(TINY))
    ignored = dr.train(prepared_folder, tmp_path / "ignored", recipe_with_teacher(run_folder, 0.0))
    followed = dr.train(prepared_folder, tmp_path / "followed", recipe_with_teacher(run_folder, 1.0))
    assert all(np.array_equal(*pair) for pair in zip(weights_of(alone), weights_of(ignored), strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(weights_of(alone), weights_of(followed), strict=True))
    (entry,) = followed.about["taught_by"]
    assert entry["met"]["val"] > 0  # the teacher's epoch was chosen on them
    assert not (followed.folder / FILE).exists()


def test_an_interrupted_student_runs_its_teachers_once(run_folder: Path, prepared_folder: Path, tmp_path: Path) -> None:
    recipe = recipe_with_teacher(
        run_folder, 0.5, finetune=PHASE | {"epochs": 2}, distillation={"views": 2, "share": 0.5}
    )
    whole = dr.train(prepared_folder, tmp_path / "whole", recipe)
    texts = []

    def stop(done: int, total: int, text: str) -> None:
        texts.append(text)
        if text.startswith("finetune 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dr.train(prepared_folder, tmp_path / "run", recipe, progress=stop)
    assert texts.count("teachers") == 2  # two views
    texts_after: list[str] = []
    run = dr.train(
        prepared_folder, tmp_path / "run", recipe, progress=lambda done, total, text: texts_after.append(text)
    )
    assert "teachers" not in texts_after
    assert all(np.array_equal(*pair) for pair in zip(weights_of(whole), weights_of(run), strict=True))


def test_a_fold_learns_only_from_the_fold_that_left_out_its_photographs(
    run_folder: Path, prepared_folder: Path, tmp_path: Path
) -> None:
    short_recipe = recipe_from_dict(TINY | {"finetune": {"epochs": 0}})
    teacher = dr.cross_validate(prepared_folder, tmp_path / "teacher", short_recipe, folds=2)
    student = dr.cross_validate(
        prepared_folder, tmp_path / "student", recipe_with_teacher(teacher.folder, 0.5), folds=2
    )
    for number, run in enumerate(student.runs(), start=1):
        assert run.recipe.teachers == (str(teacher.folder / f"fold-{number}"),)
    data = dr.PreparedSet.load(prepared_folder)
    assert (
        len(find_teachers(recipe_with_teacher(teacher.folder, 0.5), data)) == 2
    )  # outside a cross-validation, all folds teach
    with pytest.raises(dr.KerasDrError, match="not a cross-validation with a fold 1"):
        dr.cross_validate(data, tmp_path / "leak", recipe_with_teacher(run_folder, 0.5), folds=2)
    with pytest.raises(dr.KerasDrError, match="into other folds"):
        teachers_of_fold(recipe_with_teacher(teacher.folder, 0.5), data.folded(Fold(1, 3)))


def test_teachers_of_other_photographs_are_refused(run_folder: Path, photographs: Path, tmp_path: Path) -> None:
    larger = dr.prepare(photographs, tmp_path / "larger", size=48)
    with pytest.raises(dr.KerasDrError, match="needs photographs prepared with --size 32"):
        dr.train(larger, tmp_path / "run", recipe_with_teacher(run_folder, 0.5))
    referable = dr.prepare(photographs, tmp_path / "referable", size=32, task="referable")
    with pytest.raises(dr.KerasDrError, match="grades the task icdr, not referable"):
        dr.train(referable, tmp_path / "run", recipe_with_teacher(run_folder, 0.5))
