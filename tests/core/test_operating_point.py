import pytest

from keras_dr.core.errors import KerasDrError
from keras_dr.core.operating_point import DEFAULT, OWN, OperatingPoint, find_point, hundred_words, points_text

FEW = OperatingPoint(
    0.86, {"specificity": 0.85}, False, 0.9, 0.889, (0.79, 0.96), (0.565, 0.98), positive=50, negative=9
)
POINTS = {DEFAULT: FEW, "screening": OperatingPoint(0.3, {"sensitivity": 0.85}, True, 0.85, 0.7)}


def test_a_target_holds_only_if_its_figure_was_measured() -> None:
    point = OperatingPoint(0.5, {"sensitivity": 0.9})
    assert point.reached("sensitivity", 0.9) is True
    assert point.reached("sensitivity", None) is point.reached("specificity", 1.0) is None


def test_a_point_chosen_on_few_photographs_is_doubted_with_the_numbers() -> None:
    assert FEW.doubts("referable DR") == [
        "Its specificity rests on only 9 photographs without referable DR: it may be anything from 0.56 to 0.98 (95 %)."
    ]


def test_a_missed_target_is_marked() -> None:
    assert POINTS["screening"].doubts("referable DR") == [
        "It misses its target: sensitivity above 0.85, reached 0.850."
    ]


def test_sensitivity_and_specificity_in_words() -> None:
    assert hundred_words("referable DR", 0.88, 0.92, (0.8, 0.93), (0.85, 0.96)) == (
        "Of 100 eyes with referable DR it misses 12 (7 to 20); of 100 without it, it refers 8 (4 to 15)."
    )
    assert hundred_words("pneumothorax", None, 0.9) == "Of 100 photographs without pneumothorax it refers 10."
    assert hundred_words("referable DR", None, None) == ""


def test_points_are_listed_in_words() -> None:
    lines = points_text(POINTS, "referable DR", ["moderate", "severe"]).splitlines()
    assert lines[0].startswith("Referable: moderate, severe.")
    assert lines[1].startswith("default: Threshold 0.860. On the photographs that chose it, of 100 eyes with")
    assert lines[2].startswith("screening: Threshold 0.300.")
    assert OperatingPoint(1.05).in_words("referable DR") == "No threshold: referable grades alone are referred."


def test_a_margin_voids_the_figures_of_a_point_but_does_nothing_without_a_threshold() -> None:
    assert FEW.margin_words(0.05) == "" == OperatingPoint(0.3).margin_words(0.2)
    assert FEW.margin_words(0.2) == "These figures hold with a margin of 0.05; with 0.2, it refers more."
    assert FEW.margin_words(0).endswith("with 0, it refers less.")
    said = OperatingPoint(1.05, sensitivity=0.9).margin_words(1)
    assert said == "The margin of 1 changes nothing, because there is no threshold."


def test_the_user_chooses_a_point_or_a_threshold() -> None:
    assert find_point(POINTS, None, None) == (DEFAULT, FEW)
    assert find_point(POINTS, "screening", None) == ("screening", POINTS["screening"])
    assert find_point(POINTS, None, 0.25) == (OWN, OperatingPoint(0.25))
    with pytest.raises(KerasDrError, match="refers nobody"):
        find_point({}, None, 0.25)
    with pytest.raises(KerasDrError, match="Did you mean screening"):
        find_point(POINTS, "screning", None)
    with pytest.raises(KerasDrError, match="both given"):
        find_point(POINTS, "screening", 0.5)
    with pytest.raises(KerasDrError, match="not a probability from 0 to 1"):
        find_point(POINTS, None, 1.2)


def test_a_point_of_an_older_version_is_read() -> None:
    older = {"value": 0.5, "rule": "specificity", "target": 0.85, "sensitivity": 0.6, "specificity": 0.96}
    assert OperatingPoint.from_dict(older) == OperatingPoint(0.5, {"specificity": 0.85}, False, 0.6, 0.96)


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"value": float("nan")},
        {"value": 0.5, "other": 1},
        {"value": "high"},
        {"value": 0.5, "targets": {"kappa": 0.9}},
        {"value": 0.5, "sensitivity_interval": [0.1]},
        {"value": 0.5, "positive": "many"},
        {"value": 0.5, "promise": {"risk": "low", "confidence": 1, "unit": "", "count": 1, "missed": 0, "data": ""}},
    ],
)
def test_a_damaged_point_is_refused(damaged: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        OperatingPoint.from_dict(damaged)
