"""The ICDR severity scale and the tasks (label spaces) that a grader can be trained on.

Scale: Wilkinson et al., "Proposed international clinical diabetic retinopathy and diabetic macular edema disease
severity scales", Ophthalmology 110(9), 2003. Referable means moderate or worse (grade >= 2), as in Gulshan et al.,
JAMA 316(22), 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keras_dr.errors import KerasDrError

ICDR = ("no_dr", "mild", "moderate", "severe", "proliferative")
REFERABLE_FROM = 2


@dataclass(frozen=True)
class Task:
    """A label space.

    Attributes:
        name: key in `TASKS`.
        classes: class names in the order of the model's outputs.
        labels: ICDR grade 0..4 -> index into `classes`.
        referable: indices of the classes whose patients are sent to an ophthalmologist.
    """

    name: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    referable: tuple[int, ...]

    def label(self, grade: int) -> int:
        """Class index of an ICDR grade 0..4."""
        return self.labels[grade]


TASKS = {
    "icdr": Task("icdr", ICDR, (0, 1, 2, 3, 4), (2, 3, 4)),
    "referable": Task("referable", ("not_referable", "referable"), (0, 0, 1, 1, 1), (1,)),
}

# Spellings met in published data sets (APTOS folders, class folders of mirrors), compared without case and marks.
_SPELLINGS = {
    "nodr": 0,
    "normal": 0,
    "healthy": 0,
    "mild": 1,
    "moderate": 2,
    "severe": 3,
    "proliferative": 4,
    "proliferatedr": 4,
    "proliferativedr": 4,
    "pdr": 4,
}


def parse_grade(text: str) -> int:
    """ICDR grade 0..4 from a number ("3", "3.0") or a class name ("No_DR", "Severe", "Proliferate_DR").

    Raises:
        KerasDrError: the text is neither.
    """
    folded = "".join(c for c in text.lower() if c.isalnum())
    if folded in _SPELLINGS:
        return _SPELLINGS[folded]
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number not in range(len(ICDR)):
        raise KerasDrError(
            "an ICDR grade, 0 to 4 or one of " + ", ".join(ICDR), repr(text), "Correct the label or leave that row out."
        )
    return int(number)


def find_task(name: str) -> Task:
    """The task of this name.

    Raises:
        KerasDrError: there is none.
    """
    if name not in TASKS:
        raise KerasDrError(f"a task among {', '.join(TASKS)}", repr(name), "Correct --task.")
    return TASKS[name]


def task_of_classes(classes: Sequence[str]) -> Task:
    """The task that has these classes.

    Raises:
        KerasDrError: no task has them.
    """
    for task in TASKS.values():
        if task.classes == tuple(classes):
            return task
    known = "; ".join(", ".join(task.classes) for task in TASKS.values())
    raise KerasDrError(f"the classes of a known task ({known})", ", ".join(classes), "Prepare the data set again.")
