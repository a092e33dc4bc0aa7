"""Sets of neighbouring grades that hold the true grade with a stated coverage: "moderate or severe".

A set begins with the predicted grade and grows by the more probable neighbour (C. Lu, A. Angelopoulos and S. Pomerantz,
"Improving trustworthiness of AI disease severity rating in medical imaging with ordinal conformal prediction sets",
MICCAI 2022). A grade belongs to the set if the probability of the grades that come before it does not exceed a limit,
which `metrics.conformal` calibrates. So the predicted grade is always in the set, and a set has no gaps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.names import class_words

NO_SETS = "No sets of grades are stated: none were calibrated for this grader, on patients who chose nothing."


@dataclass(frozen=True)
class GradeSets:
    """How sets of grades are made, and what they promise.

    Attributes:
        limit: probability, 0..1, that the grades before a grade of the set may have together.
        coverage: share of photographs, 0..1, whose true grade is in its set, on the mean over draws of the calibration
            patients.
        unit: "patients", or "blocks" of photographs where patients are not known.
        count: number of calibration patients.
        data: name of the set of photographs that it was calibrated on.
        added: share of the calibration photographs, 0..1, that would be referred in addition if every set with a
            referable grade were; None if nobody is referred.
        added_interval: its 95 % interval; None if nobody is referred.
    """

    limit: float
    coverage: float
    unit: str
    count: int
    data: str
    added: float | None = None
    added_interval: Sequence[float] | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "GradeSets":
        """Return the sets that `to_dict` wrote.

        Raises:
            TypeError, ValueError, AttributeError: the content is not that of sets of grades.
        """
        values = dict(content)
        if values.get("added_interval") is not None:
            values["added_interval"] = tuple(values["added_interval"])
        sets = cls(**values)
        numbers = [sets.limit, sets.coverage, sets.count, *([] if sets.added is None else [sets.added])]
        interval = sets.added_interval
        if interval is not None:
            if len(interval) != 2:
                raise ValueError("an interval has not two limits")
            numbers += interval
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
            raise ValueError("a value is not a finite number")
        if not 0 <= sets.limit <= 1 or not 0 < sets.coverage < 1:
            raise ValueError("a limit or a coverage is not from 0 to 1")
        if not isinstance(sets.unit, str) or not isinstance(sets.data, str):
            raise TypeError("the sets name no unit or no data")
        return sets

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)

    def contains(self, probabilities: NDArray[np.floating], grades: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which grades belong to the set of each photograph, bool (n, C).

        Args:
            probabilities: float (n, C), 0..1.
            grades: int (n,), the predicted grades, see `decision.decide`.

        Example:
            >>> sets = GradeSets(limit=0.6, coverage=0.9, unit="patients", count=99, data="clinic")
            >>> sets.contains(np.array([[0.1, 0.1, 0.5, 0.3]]), np.array([2])).tolist()
            [[False, False, True, True]]
        """
        return probability_before(probabilities, grades) <= self.limit

    def in_words(self, condition: str) -> str:
        """Return what the sets promise as sentences, with what voids it.

        Args:
            condition: what referable grades have, such as "referable DR".
        """
        sentences = [
            f"Sets of neighbouring grades hold the true grade of {100 * self.coverage:g} % of photographs on the mean. "
            f"They were calibrated on {self.count} {self.unit} of {self.data}."
        ]
        if self.added is not None and self.added_interval is not None:
            low, high = self.added_interval
            sentences.append(
                f"If every photograph whose set holds a grade with {condition} were referred, {100 * self.added:.0f} "
                f"({100 * low:.0f} to {100 * high:.0f}) of 100 would be referred in addition."
            )
        return " ".join([*sentences, "Another camera or population voids it."])


def sets_text(sets: GradeSets | None, condition: str) -> str:
    """Return what the sets of a grader promise, or why it states none.

    Args:
        sets: None: it states none.
        condition: as for `GradeSets.in_words`.
    """
    return sets.in_words(condition) if sets else NO_SETS


def probability_before(probabilities: NDArray[np.floating], grades: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the probability of the grades that enter a set before each grade, float64 (n, C); 0 for the first one.

    Of two equally probable neighbours, the higher grade enters first.

    Args:
        probabilities: float (n, C), 0..1.
        grades: int (n,), the grade that each set begins with.
    """
    values = np.asarray(probabilities, np.float64)
    count, classes = values.shape
    rows = np.arange(count)
    before = np.zeros((count, classes))
    low = np.array(grades, np.int64)
    high = low.copy()
    total = values[rows, low]
    for _ in range(classes - 1):
        below = np.where(low > 0, values[rows, np.maximum(low - 1, 0)], -1.0)
        above = np.where(high < classes - 1, values[rows, np.minimum(high + 1, classes - 1)], -1.0)
        upwards = above >= below
        entering = np.where(upwards, high + 1, low - 1)
        before[rows, entering] = total
        total = total + values[rows, entering]
        high = np.where(upwards, high + 1, high)
        low = np.where(upwards, low, low - 1)
    return before


def set_words(grades: Sequence[str]) -> str:
    """Return a set of grades in words.

    Args:
        grades: its grades in their order, one or more.

    Example:
        >>> set_words(["moderate", "severe"]), set_words(["no_dr", "mild", "moderate"])
        ('moderate or severe', 'no DR to moderate')
    """
    first, last = (class_words(name) for name in (grades[0], grades[-1]))
    if len(grades) == 1:
        return first
    return f"{first} or {last}" if len(grades) == 2 else f"{first} to {last}"
