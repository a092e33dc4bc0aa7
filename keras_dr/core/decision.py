"""The rules that turn probabilities into a grade and into an action; the same on the workstation and on the device.

A photograph is referred for the first of these reasons that applies:

1. grade: the predicted grade is referable, whatever the threshold; of two classes, the grade follows the threshold;
2. threshold: the probability of referable DR reaches the threshold of the operating point;
3. uncertain: it is less than a margin below the threshold.

If none applies, a photograph with faults is to be retaken. Only otherwise is there nothing to do. So a referable grade
never goes with the action "none".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_dr.core.errors import KerasDrError


def _median(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the first class at which the cumulative probability reaches one half."""
    cumulative = np.cumsum(np.asarray(probabilities, np.float64), axis=1)
    # half of the sum, not half of 1: float32 probabilities of a device add up to 1 only up to rounding
    return (cumulative < 0.5 * cumulative[:, -1:]).sum(axis=1)


# The most probable class is right most often; the median has the least expected distance, as an ordinal head intends.
DECISIONS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.int64]]] = {
    "argmax": lambda probabilities: probabilities.argmax(axis=1),
    "median": _median,
}


THRESHOLD = "threshold"  # the key of the rule for two classes, which `rule_of` turns into a `Cut`
DECISION_NAMES = (*DECISIONS, THRESHOLD)


@dataclass(frozen=True)
class Cut:
    """The rule for two classes: the class is the positive one if its probability reaches the threshold.

    So the grade and the threshold never disagree, and a threshold above one half has an effect.

    Attributes:
        positive: index of the positive class, 0 or 1.
        threshold: probability, 0..1; or float (n,), one per photograph.
    """

    positive: int
    threshold: float | NDArray[np.float64]


Decision = str | Cut  # a key of `DECISIONS`, or a cut


def name_of_rule(decision: str, classes: Sequence[str], referable: Sequence[int]) -> str:
    """Return the key of the rule that a grader of these classes uses.

    Args:
        decision: the rule of its head, a key of `DECISIONS`.
        classes: the names of the classes.
        referable: indices of the positive classes.

    Example:
        >>> name_of_rule("argmax", ("not_referable", "referable"), (1,))
        'threshold'
    """
    return THRESHOLD if len(classes) == 2 and len(referable) == 1 else decision


def rule_of(name: str, referable: Sequence[int], threshold: float | NDArray[np.float64]) -> Decision:
    """Return the rule with this key at an operating point.

    Args:
        name: one of `DECISION_NAMES`, as run.json and bundle.json hold it.
        referable: indices of the positive classes.
        threshold: of the operating point, on the probability of the positive classes; or float (n,), one per
            photograph.

    Example:
        >>> rule_of("threshold", (1,), 0.7), rule_of("median", (2, 3, 4), 0.7)
        (Cut(positive=1, threshold=0.7), 'median')
    """
    return Cut(referable[0], threshold) if name == THRESHOLD else name


_DR_TASKS = ("icdr", "icdr-ungradable", "referable")  # the tasks of `datasets.grades`


def condition_words(task: str, classes: Sequence[str], referable: Sequence[int]) -> str:
    """Return what the referable classes of a task have, in words; "" if nobody is referred.

    Example:
        >>> condition_words("icdr", ("no_dr", "mild", "moderate", "severe", "proliferative"), (2, 3, 4))
        'referable DR'
        >>> condition_words("classes", ("normal", "pneumothorax"), (1,))
        'pneumothorax'
    """
    return "referable DR" if task in _DR_TASKS else " or ".join(classes[index] for index in referable)


def positive_words(classes: Sequence[str], referable: Sequence[int]) -> str:
    """Which classes send a patient on, for a line of text: "positive: moderate, severe, proliferative"."""
    names = ", ".join(classes[index] for index in referable)
    return f"positive: {names}" if names else "positive: none, so that nobody is referred"


def decide(probabilities: NDArray[np.floating], decision: Decision = "argmax") -> NDArray[np.int64]:
    """Return class indices int64 (n,) for probabilities float (n, C), by a key of `DECISIONS` or by a cut.

    Raises:
        KerasDrError: the decision is unknown.
    """
    if isinstance(decision, Cut):
        reached = probabilities[:, decision.positive].astype(np.float64) >= decision.threshold
        return np.where(reached, decision.positive, 1 - decision.positive).astype(np.int64)
    if decision not in DECISIONS:
        raise KerasDrError(f"The decision {decision!r} is not one of {', '.join(DECISIONS)}.", "Export the run again.")
    return DECISIONS[decision](probabilities)


MARGIN = 0.05  # probability below the threshold within which a photograph counts as uncertain, and is referred
REASONS = ("", "grade", "threshold", "uncertain")  # why a photograph is referred; "": it is not
# reason -> action; without a reason, the action is "retake" or "none"
ACTIONS = {"grade": "refer: by grade", "threshold": "refer: by threshold", "uncertain": "refer: uncertain"}


def used_margin(threshold: float | NDArray[np.float64], margin: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the margin that counts below a threshold, float64 of the shape of both: above 1, at most `MARGIN`.

    A threshold is chosen `MARGIN` above the lowest probability that is referred, so one above 1 may refer the highest
    probabilities. A wider margin would refer photographs by a threshold that, as the operating point says, is none.

    Args:
        threshold: probability of a referable class, above 1 if referable grades alone are referred; or float (n,).
        margin: probability, 0..1; or float (n,).

    Example:
        >>> used_margin(0.5, 0.3).item(), used_margin(1.05, 0.3).item()
        (0.3, 0.05)
    """
    return np.where(np.asarray(threshold) > 1, np.minimum(margin, MARGIN), margin).astype(np.float64)


@dataclass(frozen=True)
class ReferralRule:
    """Which photographs are referred.

    Attributes:
        referable: indices of the classes that are sent to an ophthalmologist; if empty, nobody is referred.
        threshold: probability of a referable class, 0..1, at which a photograph is referred; or one per photograph.
        margin: probability below the threshold, 0..1, within which a photograph is uncertain and referred as well; or
            one per photograph. A threshold above 1 stands for none: below it, no more than `MARGIN` counts, with which
            thresholds are chosen, see `used_margin`.
    """

    referable: Sequence[int]
    threshold: float | NDArray[np.float64]
    margin: float | NDArray[np.float64] = MARGIN

    def scores(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of a referable class, float64 (n,), of probabilities float (n, C)."""
        return probabilities[:, list(self.referable)].sum(axis=1, dtype=np.float64)

    def reasons(self, probabilities: NDArray[np.floating], grades: NDArray[np.integer]) -> NDArray[np.str_]:
        """Return the first reason that applies to each photograph, (n,), one of `REASONS`.

        Args:
            probabilities: float (n, C), 0..1.
            grades: int (n,), the predicted classes, see `decide`.

        Example:
            >>> probabilities = np.array([[0.3, 0.3, 0.4], [0.6, 0.0, 0.4], [0.5, 0.0, 0.5]])
            >>> ReferralRule(referable=(2,), threshold=0.5).reasons(probabilities, np.array([2, 0, 0])).tolist()
            ['grade', '', 'threshold']
        """
        scores = self.scores(probabilities)
        uncertain = scores >= self.threshold - used_margin(self.threshold, self.margin)
        conditions = [np.isin(grades, self.referable), scores >= self.threshold, uncertain]
        reasons = np.select(conditions, REASONS[1:], REASONS[0])
        return reasons if len(self.referable) else np.full(len(grades), REASONS[0])

    def referred(self, probabilities: NDArray[np.floating], grades: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return whether each photograph is referred, bool (n,); the arguments are those of `reasons`."""
        return self.reasons(probabilities, grades) != REASONS[0]
