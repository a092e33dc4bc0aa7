from pathlib import Path

import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.recipe import Recipe, recipe_text


def test_defaults_need_no_file() -> None:
    assert Recipe.load().backbone == "mobilenetv2"


def test_file_and_overrides_change_single_values(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("backbone: tiny\nfinetune:\n  epochs: 3\n")
    recipe = Recipe.load(file, ["finetune.learning_rate=1e-4", "finetune.unfreeze=last-block"])
    assert (recipe.backbone, recipe.finetune.epochs, recipe.finetune.learning_rate) == ("tiny", 3, 1e-4)
    assert recipe.finetune.unfreeze == "last-block"


def test_unfreeze_takes_a_number() -> None:
    assert Recipe.load(None, ["finetune.unfreeze=12"]).finetune.unfreeze == 12


def test_misspelt_key_is_named_with_a_similar_key() -> None:
    with pytest.raises(KerasDrError, match=r"Did you mean finetune\.learning_rate\?"):
        Recipe.load(None, ["finetune.learnig_rate=1"])


def test_a_misspelt_key_of_a_section_is_found_from_outside() -> None:
    with pytest.raises(KerasDrError, match=r"no key epoch; .* Did you mean frozen\.epochs or finetune\.epochs\?"):
        Recipe.load(None, ["epoch=3"])


def test_a_misspelt_limit_is_named_with_its_variant() -> None:
    with pytest.raises(
        KerasDrError, match=r"no key parity\.int8\.agreement; .* Did you mean parity\.int8\.grade_agreement\?"
    ):
        Recipe.load(None, ["parity.int8.agreement=.9"])


@pytest.mark.parametrize(
    "override", ["seed=-1", "dropout=1", "frozen.epochs=many", "finetune.unfreeze=none", "novalue"]
)
def test_values_out_of_range_are_refused(override: str) -> None:
    with pytest.raises(KerasDrError):
        Recipe.load(None, [override])


@pytest.mark.parametrize("text", ["- a list", "a: [", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(KerasDrError):
        Recipe.load(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KerasDrError, match="no recipe"):
        Recipe.load(tmp_path / "none.yaml")


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml")), ids=lambda f: f.name)
def test_every_shipped_recipe_is_valid(file: Path) -> None:
    assert file.read_text().startswith("#")
    Recipe.load(file)


def test_the_text_of_a_recipe_is_read_as_the_same(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    recipe = Recipe.load(None, ["finetune.learning_rate=1e-7", "oversampling=[1, 2.5, 3, 4, 5]", "jit=true"])
    file.write_text(recipe_text(recipe))
    assert Recipe.load(file) == recipe


def test_later_settings_count_as_inputs_only_where_they_change_something() -> None:
    plan = Recipe.load().plan()
    assert "keep" not in plan and "gamma" not in plan["augmentation"]
    changed = Recipe.load(None, ["keep=last", "augmentation.gamma=0.2"]).plan()
    assert changed["keep"] == "last" and changed["augmentation"]["gamma"] == 0.2
    assert "blur" not in changed["augmentation"]
    assert Recipe.load().model_dump()["keep"] == "best"
