import keras
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from keras_dr.core.errors import KerasDrError
from keras_dr.explanation.scores import faithfulness, sanity
from keras_dr.explanation.scores.heat import (
    baseline,
    choose_thresholds,
    describe,
    overlap_scores,
    score_heatmap,
    summarise,
)
from keras_dr.explanation.scores.localisation import THRESHOLDS, Ranking
from keras_dr.models.grader import build_model

CORNER = np.zeros((4, 4))
CORNER[:2, :2] = 1  # a quarter of a 4 x 4 map
LEFT = np.zeros((4, 4), bool)
LEFT[:, :2] = True
ALL = np.ones((40, 40), bool)


def scores(heat, fundus, masks) -> dict:
    return score_heatmap(heat, fundus, masks).scores


def test_share_outside_the_fundus() -> None:
    heat = np.array([[3, 0, 0, 1]] + 3 * [[0] * 4])
    assert scores(heat, LEFT, {})["share_outside_fundus"] == 0.25


def test_share_on_lesions_counts_heat_inside_the_fundus_and_partly_covered_pixels() -> None:
    heat = np.array([[4, 1, 9, 9]] + 3 * [[1, 1, 9, 9]])  # 11 inside the fundus
    mask = np.zeros((4, 4))
    mask[0, 0] = 0.5  # heat 2, area .5
    mask[1, 1] = 1  # heat 1, area 1
    result = scores(heat, LEFT, {"haemorrhages": mask})
    assert result["share_on_lesions"] == result["share_on_haemorrhages"] == pytest.approx(3 / 11)
    assert result["area_of_lesions"] == pytest.approx(1.5 / 8)
    assert result["enrichment_lesions"] == pytest.approx(3 / 11 / (1.5 / 8))


def test_overlapping_lesions_count_once() -> None:
    result = scores(CORNER, LEFT, {"hard_exudates": CORNER, "haemorrhages": CORNER})
    assert (result["share_on_lesions"], result["enrichment_lesions"]) == (1, 2)


def test_optic_disc_is_no_lesion() -> None:
    result = scores(CORNER, LEFT, {"optic_disc": CORNER})
    assert result == {"share_outside_fundus": 0, "share_on_optic_disc": 1}


def test_uniform_map_scores_chance() -> None:
    result = score_heatmap(baseline("uniform", 4), LEFT, {"haemorrhages": CORNER, "optic_disc": CORNER[::-1]})
    assert result.scores["share_outside_fundus"] == result.scores["share_on_optic_disc"] == 0.5
    assert result.scores["enrichment_lesions"] == 1
    assert (
        result.scores["auprc_lesions"] == result.scores["pointing_lesions"] == result.scores["area_of_lesions"] == 0.5
    )
    assert set(result.overlaps["lesions"]) == {0.5}


def test_centred_gaussian_has_the_stated_width() -> None:
    bell = baseline("centred Gaussian", 101)
    assert bell[50, 50] == bell.max() == 1
    assert bell[50, 75] == pytest.approx(np.exp(-0.5), abs=0.01)  # a quarter of the side off


def test_map_without_heat_has_no_shares() -> None:
    result = scores(np.zeros((4, 4)), LEFT, {"haemorrhages": CORNER, "optic_disc": CORNER})
    assert result == {"share_outside_fundus": None, "share_on_optic_disc": None}


def test_photograph_without_lesions_has_no_lesion_scores() -> None:
    assert "share_on_lesions" not in scores(CORNER, LEFT, {"haemorrhages": np.zeros((4, 4))})


def test_fundus_that_fills_the_photograph_has_no_outside() -> None:
    assert scores(CORNER, np.ones((4, 4), bool), {})["share_outside_fundus"] is None


def test_mask_of_another_size_is_refused() -> None:
    with pytest.raises(KerasDrError, match=r"mask of haemorrhages has 5 x 5 pixels, but the photograph has 4 x 4"):
        score_heatmap(CORNER, LEFT, {"haemorrhages": np.zeros((5, 5))})


def test_average_precision_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    heat = rng.integers(0, 20, (40, 40)) / 20  # many ties
    mask = rng.random((40, 40)) < 0.1
    result = Ranking(heat, ALL).localise(mask.astype(float))
    assert result is not None
    assert result.auprc == pytest.approx(average_precision_score(mask.ravel(), heat.ravel()))


def test_overlap_is_that_of_the_sets() -> None:
    rng = np.random.default_rng(1)
    heat = rng.random((40, 40))
    mask = rng.random((40, 40)) < 0.3
    result = Ranking(heat, ALL).localise(mask.astype(float))
    assert result is not None
    expected = [(mask & (heat >= t)).sum() / (mask | (heat >= t)).sum() for t in THRESHOLDS]
    assert np.allclose(result.iou, expected)


def test_pointing_allows_a_near_miss() -> None:
    heat = np.zeros((100, 100))
    mask = np.zeros((100, 100))
    heat[50, 50] = 1
    fundus = np.ones((100, 100), bool)
    for distance, hit in ((3, 1), (4, 0)):
        mask[:] = 0
        mask[50, 50 + distance] = 1
        result = Ranking(heat, fundus).localise(mask)
        assert result is not None and result.pointing == hit


def test_threshold_is_chosen_on_other_photographs_and_kept() -> None:
    heat = np.full((4, 4), 0.2)
    heat[:2, :2] = 0.5
    heat[0, 0] = 1
    known = score_heatmap(heat, np.ones((4, 4), bool), {"haemorrhages": CORNER})
    chosen = choose_thresholds([known])
    assert chosen["haemorrhages"] == pytest.approx(
        0.25
    )  # the first threshold above .2, at which heat and mask are both the corner
    assert overlap_scores(known, chosen)["iou_lesions"] == 1
    other = score_heatmap(np.ones((4, 4)), np.ones((4, 4), bool), {"haemorrhages": CORNER})
    assert overlap_scores(other, chosen) == {"iou_lesions": 0.25, "iou_haemorrhages": 0.25}
    assert overlap_scores(other, {}) == {}


def test_summary_leaves_out_missing_scores() -> None:
    rows = [scores(CORNER, LEFT, {"haemorrhages": CORNER}), scores(np.zeros((4, 4)), LEFT, {})]
    assert summarise(rows)["enrichment_lesions"] == {"n": 1, "mean": 2, "median": 2, "low": None, "high": None}


def test_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    result = describe(values.tolist())
    half = 1.96 * values.std() / 20
    assert (result["low"], result["high"]) == pytest.approx((values.mean() - half, values.mean() + half), abs=2e-3)


IMAGE = np.full((20, 20, 3), 100, np.uint8)
IMAGE[5:10, 5:10] = 200  # the part that the grader below uses
TARGET = (IMAGE[..., 0] == 200).astype(float)
EVERYWHERE = np.ones((20, 20), bool)


def bright_corner(images: np.ndarray) -> np.ndarray:
    """A grader: the probability of class 0 is the mean of the bright square over 200."""
    brightness = images[:, 5:10, 5:10].mean(axis=(1, 2, 3)) / 200
    return np.stack([brightness, 1 - brightness], axis=1)


def test_a_true_map_is_more_faithful_than_a_false_one() -> None:
    true, false = (faithfulness.measure(bright_corner, IMAGE, heat, EVERYWHERE, 0) for heat in (TARGET, 1 - TARGET))
    assert true.deletion_auc < false.deletion_auc and true.insertion_auc > false.insertion_auc


def test_deletion_and_insertion_of_a_constant_grader_are_its_probability() -> None:
    result = faithfulness.measure(lambda images: np.full((len(images), 1), 0.3), IMAGE, TARGET, EVERYWHERE, 0)
    assert (result.deletion_auc, result.insertion_auc) == pytest.approx((0.3, 0.3))


def test_insertion_restores_the_hottest_pixels_first() -> None:
    shown: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        shown.extend(images)
        return np.ones((len(images), 1))

    faithfulness.measure(watch, IMAGE, TARGET, EVERYWHERE, 0)
    insertion = shown[faithfulness.STEPS + 1 :][::-1]
    assert (insertion[1][5:10, 5:10] == 200).all() and not (insertion[0] == IMAGE).all()
    assert (insertion[-1] == IMAGE).all()


def test_surround_does_not_change_and_does_not_bleed_in() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :20] = 80
    soft = faithfulness.blurred(image, faithfulness.lit(image, ALL))
    assert np.allclose(soft, image, atol=1e-3)


def test_shuffled_map_keeps_its_values() -> None:
    heat = np.arange(12.0).reshape(3, 4)
    shuffled = faithfulness.shuffled(heat, 0)
    assert (np.sort(shuffled.ravel()) == heat.ravel()).all() and (shuffled != heat).any()


def test_spearman_is_scipys() -> None:
    first, second = np.random.default_rng(0).integers(0, 9, (2, 5, 5))
    assert sanity.spearman(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)


def test_constant_map_has_no_correlation() -> None:
    assert sanity.spearman(np.ones((3, 3)), CORNER[:3, :3]) is None


def test_agreement_of_maps_of_different_size() -> None:
    maps = {"a": CORNER, "b": np.kron(CORNER, np.ones((2, 2))), "c": 1 - CORNER}
    result = sanity.agreement(maps, ALL)
    assert list(result) == ["a ~ b", "a ~ c", "b ~ c"]
    assert result["a ~ b"] > 0.9 and result["a ~ c"] < -0.9


def have_other_weights(old: keras.layers.Layer, new: keras.layers.Layer) -> bool:
    pairs = zip(old.get_weights(), new.get_weights(), strict=True)
    return any((before != after).any() for before, after in pairs)


def test_randomising_goes_from_the_top_down() -> None:
    keras.utils.set_random_seed(0)
    model = build_model("tiny", 64, 3)
    changed = {}
    for stage, share in sanity.STAGES.items():
        randomised = sanity.randomised(model, share)
        pairs = zip(model.layers, randomised.layers, strict=True)
        changed[stage] = [old.name for old, new in pairs if have_other_weights(old, new)]
    assert changed["head"] == ["logits"]
    assert set(changed["head, top quarter"]) == {"block5a_conv", "block5b_conv", "logits"}  # batch norms are constant
    assert len(changed["whole network"]) == 11
    kernel = model.get_layer("block1a_conv").get_weights()[0]
    shuffled_kernel = randomised.get_layer("block1a_conv").get_weights()[0]
    assert np.allclose(np.sort(kernel.ravel()), np.sort(shuffled_kernel.ravel()))
