"""An operating point: a threshold on the probability of referable DR, with the figures it was chosen for."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any

from keras_dr.core.decision import MARGIN, used_margin
from keras_dr.core.errors import KerasDrError

DEFAULT = "default"  # the name of the point that a run or a bundle uses if no other is chosen
OWN = "own threshold"  # the name of a threshold that the user gave
WIDE = 0.2  # a figure whose 95 % interval is wider than this rests on too few photographs


@dataclass(frozen=True)
class Promise:
    """What is promised about the patients with referable DR that are missed.

    Attributes:
        risk: share of these patients that are missed at most, 0..1.
        confidence: probability that this holds, 0..1, over draws of the calibration patients.
        unit: "patients", or "blocks" of photographs where patients are not known.
        count: number of calibration patients with referable DR.
        missed: number of them that are missed.
        data: name of the set that it was calibrated on.
        margin: probability below the threshold, 0..1, from which photographs are referred as uncertain; a smaller
            margin refers fewer photographs, and so breaks the promise.
    """

    risk: float
    confidence: float
    unit: str
    count: int
    missed: int
    data: str
    margin: float = MARGIN

    def in_words(self, condition: str) -> str:
        """Return the promise as sentences, with what voids it.

        Args:
            condition: what the patients have, such as "referable DR".

        Example:
            >>> Promise(0.1, 0.95, "patients", 120, 4, "clinic").in_words("referable DR").split(". ")[0]
            'With 95 % confidence at most 10 % of patients with referable DR are missed'
        """
        share = f"{100 * self.confidence:g} % confidence at most {100 * self.risk:g} % of {self.unit}"
        return (
            f"With {share} with {condition} are missed. This was calibrated on {self.count} such {self.unit} of "
            f"{self.data}, of which {self.missed} are missed. Another camera or population voids it."
        )


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, and the figures of the final action on the photographs that it was chosen on.

    The final action refers a photograph by its grade, by this threshold, or because it is uncertain; see
    `decision.ReferralRule`.

    Attributes:
        value: threshold on the probability of referable DR; above 1 if only referable grades are referred.
        targets: "sensitivity" or "specificity" -> the value, 0..1, that it had to reach.
        strict: whether the targets had to be exceeded, not only reached.
        sensitivity: of the final action, 0..1; None if the task refers nobody, or it was never measured.
        specificity: of the final action, 0..1; None if the task refers nobody, or it was never measured.
        sensitivity_interval: 95 % interval; None in results of older versions.
        specificity_interval: 95 % interval; None in results of older versions.
        positive: number of photographs with referable DR that it was chosen on; None in results of older versions.
        negative: number of photographs without referable DR that it was chosen on.
        promise: what is promised at this threshold; None: nothing.
    """

    value: float
    targets: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    sensitivity: float | None = None
    specificity: float | None = None
    sensitivity_interval: Sequence[float] | None = None
    specificity_interval: Sequence[float] | None = None
    positive: int | None = None
    negative: int | None = None
    promise: Promise | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "OperatingPoint":
        """Return the point that `to_dict` wrote; "rule" and "target" of a run's default point are read as well.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the content is not that of a point.
        """
        values = dict(content)
        rule = values.pop("rule", None)
        target = values.pop("target", None)
        if rule is not None and "targets" not in values:  # an older version wrote it
            values["targets"] = {rule: target}
        for name in ("sensitivity_interval", "specificity_interval"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        if values.get("promise") is not None:
            values["promise"] = Promise(**values["promise"])
        point = cls(**values)
        _check(point)
        return point

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)

    def check_margin(self, margin: float) -> None:
        """Refuse a margin that is no probability, or at which the promise of this point does not hold.

        Args:
            margin: probability below the threshold from which photographs are referred as uncertain, 0..1.

        Raises:
            KerasDrError: the margin is no number from 0 to 1, or is smaller than that of the promise.
        """
        _check_probability("margin", margin)
        if self.promise and margin < self.promise.margin:
            raise KerasDrError(
                f"The margin {margin:g} breaks the promise of this operating point, which was made with a margin of "
                f"{self.promise.margin:g}: with a smaller one, more patients are missed.",
                "Leave the margin out, or choose another operating point or a threshold.",
            )

    def reached(self, figure: str, value: float | None) -> bool | None:
        """Return whether a measured sensitivity or specificity reaches its target; None without a value or a target."""
        if value is None or figure not in self.targets:
            return None
        return value > self.targets[figure] if self.strict else value >= self.targets[figure]

    def missed(self) -> list[str]:
        """Return the names of the targets that it missed on the photographs that it was chosen on."""
        return [name for name in self.targets if self.reached(name, getattr(self, name)) is False]

    def doubts(self, positive: str) -> list[str]:
        """Return a sentence for each reason not to rely on this point: missed targets, and too few photographs.

        Args:
            positive: the condition of the positive classes, such as "referable DR".
        """
        more = "above" if self.strict else "at least"
        sentences = [
            f"It misses its target: {name} {more} {self.targets[name]:g}, reached {getattr(self, name):.3f}."
            for name in self.missed()
        ]
        cases = (("sensitivity", self.positive, "with"), ("specificity", self.negative, "without"))
        for name, count, having in cases:
            interval = getattr(self, f"{name}_interval")
            if interval is not None and interval[1] - interval[0] > WIDE:
                photographs = f"{count} photograph{'' if count == 1 else 's'} {having} {positive}"
                sentences.append(
                    f"Its {name} rests on only {photographs}: it may be anything from {interval[0]:.2f} to "
                    f"{interval[1]:.2f} (95 %)."
                )
        return sentences

    def margin_words(self, margin: float) -> str:
        """Return what another margin than `MARGIN` changes at this point, a sentence; "" for `MARGIN` itself.

        Args:
            margin: probability below the threshold from which photographs are referred as uncertain, 0..1.
        """
        if margin == MARGIN:
            return ""
        if used_margin(self.value, margin) == MARGIN:
            return f"The margin of {margin:g} changes nothing, because there is no threshold."
        if self.sensitivity is None and self.specificity is None:
            return ""
        more = "more" if margin > MARGIN else "less"
        return f"These figures hold with a margin of {MARGIN:g}; with {margin:g}, it refers {more}."

    def in_words(self, positive: str) -> str:
        """Return what the final action does at this point, in sentences; see `hundred_words`."""
        sentence = hundred_words(
            positive, self.sensitivity, self.specificity, self.sensitivity_interval, self.specificity_interval
        )
        if sentence:
            sentence = f"On the photographs that chose it, {sentence[0].lower()}{sentence[1:]}"
        first = (
            f"Threshold {self.value:.3f}." if self.value <= 1 else "No threshold: referable grades alone are referred."
        )
        promise = [self.promise.in_words(positive)] if self.promise else []
        return " ".join([first, *filter(None, [sentence]), *promise, *self.doubts(positive)])


def _check_probability(name: str, value: object) -> None:
    """Refuse what is no number from 0 to 1; text such as "0.1" is none."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
        raise KerasDrError(f"The {name} {value!r} is not a probability from 0 to 1.", "Correct it.")


def _check(point: OperatingPoint) -> None:
    """Refuse a point that nobody wrote like this.

    Raises:
        TypeError, ValueError, AttributeError: a value is missing, of another type, or not a finite number.
    """
    if not set(point.targets) <= {"sensitivity", "specificity"}:
        raise ValueError("a target is neither sensitivity nor specificity")
    numbers = [point.value, *point.targets.values()]
    numbers += [
        number
        for number in (point.sensitivity, point.specificity, point.positive, point.negative)
        if number is not None
    ]
    for interval in (point.sensitivity_interval, point.specificity_interval):
        if interval is not None and len(interval) != 2:
            raise ValueError("an interval has not two limits")
        numbers += interval or ()
    if point.promise is not None:
        promise = point.promise
        numbers += [promise.risk, promise.confidence, promise.count, promise.missed, promise.margin]
        if not isinstance(point.promise.unit, str) or not isinstance(point.promise.data, str):
            raise TypeError("the promise names no unit or no data")
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
        raise ValueError("a value is not a finite number")


def hundred_words(
    positive: str,
    sensitivity: float | None,
    specificity: float | None,
    sensitivity_interval: Sequence[float] | None = None,
    specificity_interval: Sequence[float] | None = None,
) -> str:
    """Return sensitivity and specificity as counts per 100, in a sentence; intervals are in brackets.

    Args:
        positive: the condition of the positive classes, such as "referable DR".
        sensitivity: 0..1; None if there are no positive photographs.
        specificity: 0..1; None if there are no negative photographs.
        sensitivity_interval: None: it is not shown.
        specificity_interval: None: it is not shown.

    Example:
        >>> hundred_words("referable DR", 0.88, 0.92)
        'Of 100 eyes with referable DR it misses 12; of 100 without it, it refers 8.'
    """
    unit = "eyes" if positive == "referable DR" else "photographs"
    parts = []
    if sensitivity is not None:
        missed = per_hundred(1 - sensitivity, _complement(sensitivity_interval))
        parts.append(f"of 100 {unit} with {positive} it misses {missed}")
    if specificity is not None:
        referred = per_hundred(1 - specificity, _complement(specificity_interval))
        without = "without it, it" if parts else f"{unit} without {positive} it"
        parts.append(f"of 100 {without} refers {referred}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _complement(interval: Sequence[float] | None) -> Sequence[float] | None:
    """Return the interval of 1 - value."""
    return None if interval is None else (1 - interval[1], 1 - interval[0])


def per_hundred(value: float, interval: Sequence[float] | None = None) -> str:
    """Return a share per 100, such as "12 (5 to 24)"."""
    text = f"{100 * value:.0f}"
    return text if interval is None else f"{text} ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})"


def points_of(manifest: Mapping[str, Any]) -> dict[str, OperatingPoint]:
    """Return all operating points of run.json or bundle.json by name, the default first.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: as for `OperatingPoint.from_dict`.
    """
    points = {DEFAULT: manifest["operating_point"], **manifest.get("operating_points", {})}
    return {name: OperatingPoint.from_dict(point) for name, point in points.items()}


def find_point(
    points: Mapping[str, OperatingPoint], name: str | None, threshold: float | None
) -> tuple[str, OperatingPoint]:
    """Return the name and the point that a user chose.

    Args:
        points: name -> point, with `DEFAULT`; empty if nobody is referred.
        name: the name of a point; None: the default, or `threshold`.
        threshold: the user's own threshold on the probability of referable DR, 0..1; None: the point of that name.

    Raises:
        KerasDrError: both are given, nobody is referred, there is no such point, or the threshold is not from 0 to 1.
    """
    if name is not None and threshold is not None:
        raise KerasDrError("An operating point and a threshold were both given.", "Leave one of them out.")
    if not points:
        raise KerasDrError("This grader refers nobody, so it has no operating points.", "Leave the option out.")
    if threshold is not None:
        _check_probability("threshold", threshold)
        return OWN, OperatingPoint(threshold)
    name = DEFAULT if name is None else name
    if name not in points:
        similar = difflib.get_close_matches(name, points, 1)
        remedy = f"Did you mean {similar[0]}?" if similar else "Choose one of these."
        raise KerasDrError(f"There is no operating point {name!r}; there are {', '.join(points)}.", remedy)
    return name, points[name]


def points_in_words(points: Mapping[str, OperatingPoint], positive: str) -> dict[str, str]:
    """Return names -> the words of a point; points with the same words are named together, such as "default, youden".

    Args:
        points: name -> point.
        positive: the condition of the positive classes, such as "referable DR".
    """
    names: dict[str, list[str]] = {}
    for name, point in points.items():
        names.setdefault(point.in_words(positive), []).append(name)
    return {", ".join(alike): words for words, alike in names.items()}


def points_text(points: Mapping[str, OperatingPoint], positive: str, referable: Sequence[str]) -> str:
    """Return the points in words, one line for all that do the same, for the terminal.

    Args:
        points: name -> point.
        positive: the condition of the positive classes, such as "referable DR".
        referable: the names of the referable classes.
    """
    if not referable:
        return "This grader refers nobody, so it has no operating points."
    lines = [f"Referable: {', '.join(referable)}. A photograph with such a grade is referred at every point."]
    lines += [f"{names}: {words}" for names, words in points_in_words(points, positive).items()]
    return "\n".join(lines)
