"""The ICDR severity scale and the tasks (label spaces) that a grader can be trained on.

Scale: Wilkinson et al., "Proposed international clinical diabetic retinopathy and diabetic macular edema disease
severity scales", Ophthalmology 110(9), 2003. Referable means moderate or worse (grade >= 2), as in Gulshan et al.,
JAMA 316(22), 2016.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_dr.core.errors import KerasDrError, brief
from keras_dr.datasets.records import Record

ICDR = ("no_dr", "mild", "moderate", "severe", "proliferative")
UNGRADABLE = 5  # the number that OIA-DDR gives to photographs too poor to be graded
REFERABLE_FROM = 2


@dataclass(frozen=True)
class Task:
    """A label space.

    Attributes:
        name: key in `TASKS`, or "classes": those that the data set itself names.
        classes: class names in the order of the model's outputs.
        referable: indices of the positive classes: those whose patients are sent to an ophthalmologist, or the second
            class of two. May be empty: then nobody is referred, and figures of referral do not exist.
        labels: grade 0..4 and `UNGRADABLE` -> index into `classes`, None where the task has no class for it.
    """

    name: str
    classes: tuple[str, ...]
    referable: tuple[int, ...]
    labels: tuple[int | None, ...] = field(default=(), compare=False)

    @property
    def positive(self) -> str:
        """The positive classes in words, for tables and plots; "" where there are none."""
        return "referable DR" if self.name in TASKS else " or ".join(self.classes[index] for index in self.referable)

    @property
    def ordered(self) -> int:
        """How many of the classes, from the first on, stand in an order: the grades, or any two; 0 for named classes.

        A class beside the grades ("ungradable") is none of them.
        """
        if len(self.classes) == 2:
            return 2
        grades = [_SPELLINGS.get(_fold(name), -1) for name in self.classes]
        return sum(grade < UNGRADABLE for grade in grades) if min(grades) >= 0 else 0

    def label(self, record: Record) -> int | None:
        """Class index of a photograph, None where the task has no class for it."""
        if self.name in TASKS:
            return None if record.grade is None else self.labels[record.grade]
        published = _published_class(record)
        return self.classes.index(published) if published else None

    def usable(self, records: Sequence[Record]) -> tuple[list[Record], list[tuple[Record, str]]]:
        """The photographs that have a class, and the others with the reason.

        Where none has a grade, all are usable: they cannot be learned from, but the grader's sight can be explained on
        them.

        Raises:
            KerasDrError: there are grades, but none that has a class.
        """
        if not any(map(_published_class, records)):
            return list(records), []
        left_out = [(record, self._reason(record)) for record in records if self.label(record) is None]
        if len(left_out) == len(records):
            raise KerasDrError(f"photographs with a class of the task {self.name}", left_out[0][1], "Change --task.")
        return [record for record in records if self.label(record) is not None], left_out

    def _reason(self, record: Record) -> str:
        return f"ungradable: no class of the task {self.name}" if record.grade == UNGRADABLE else "no grade"


TASKS = {
    "icdr": Task("icdr", ICDR, (2, 3, 4), (0, 1, 2, 3, 4, None)),
    "icdr-ungradable": Task("icdr-ungradable", (*ICDR, "ungradable"), (2, 3, 4), (0, 1, 2, 3, 4, 5)),
    "referable": Task("referable", ("not_referable", "referable"), (1,), (0, 0, 1, 1, 1, None)),
}
TASK_NAMES = ("auto", *TASKS, "classes")

# Spellings met in published data sets (APTOS folders, class folders of mirrors), compared without case and marks.
_SPELLINGS = {
    **dict.fromkeys(("nodr", "normal", "healthy"), 0),
    **{"mild": 1, "moderate": 2, "severe": 3},
    **dict.fromkeys(("proliferative", "proliferatedr", "proliferativedr", "pdr"), 4),
    **dict.fromkeys(("ungradable", "ungradeable"), UNGRADABLE),
}
# Names of the negative class of two that the alphabet would put second ("DR", "No finding").
_NEGATIVE = {"negative", "control", "nofinding", "nodisease", "notreferable", "nonreferable", "nrdr"}


def _fold(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def find_grade(text: str) -> int | None:
    """The grade that a text names, see `parse_grade`, or None."""
    if _fold(text) in _SPELLINGS:
        return _SPELLINGS[_fold(text)]
    number = _number(text)
    return int(number) if number in range(len(ICDR)) else None


def parse_grade(text: str) -> int:
    """Grade from a number 0..4 ("3", "3.0") or a name ("No_DR", "Severe", "Proliferate_DR", "ungradable": 5).

    Raises:
        KerasDrError: the text is neither.
    """
    grade = find_grade(text)
    if grade is None:
        raise _no_grade(repr(text), "Correct the label or leave that row out.")
    return grade


def _no_grade(found: str, remedy: str) -> KerasDrError:
    return KerasDrError("an ICDR grade, 0 to 4 or one of " + ", ".join(ICDR), found, remedy)


def _number(text: str) -> float:
    """The number that a text says, infinity where it says none."""
    try:
        number = float(text)
    except ValueError:
        return math.inf
    return math.inf if math.isnan(number) else number


def check_task(name: str) -> str:
    """The name, if there is such a task.

    Raises:
        KerasDrError: there is none.
    """
    if name not in TASK_NAMES:
        raise KerasDrError(f"a task among {', '.join(TASK_NAMES)}", repr(name), "Correct --task.")
    return name


def choose_task(name: str, records: Sequence[Record]) -> Task:
    """The task of this name for these photographs.

    Args:
        name: one of `TASK_NAMES`; "auto": icdr, or classes where no photograph has an ICDR grade but some have a class.
        records: the photographs.

    Raises:
        KerasDrError: no such task, a label that is no grade where grades are asked for, or fewer than two classes.
    """
    check_task(name)
    named = [record for record in records if record.grade is None and record.label]
    if name == "classes" or (name == "auto" and named and all(record.grade is None for record in records)):
        return _task_of_classes({_published_class(record) for record in records} - {""})
    if named:
        remedy = "Correct the label, leave that row out, or choose --task classes."
        place = f" in {named[0].origin}" if named[0].origin else ""
        raise _no_grade(f"{named[0].label!r} at {named[0].image_id}{place}", remedy)
    return TASKS["icdr" if name == "auto" else name]


def _published_class(record: Record) -> str:
    """The class as the data set names it, or by its grade; "" where it has neither."""
    if record.label or record.grade is None:
        return record.label
    return TASKS["icdr-ungradable"].classes[record.grade]


def _task_of_classes(names: set[str]) -> Task:
    """Classes by severity where their names tell it, else by number and alphabet."""
    classes = sorted(names, key=lambda name: (_severity(name), _number(name), name))
    if len(classes) < 2:
        raise KerasDrError("photographs of two or more classes", ", ".join(classes) or "none", "Add the other classes.")
    grades = [_SPELLINGS.get(_fold(name), -1) for name in classes]
    referable = tuple(i for i, grade in enumerate(grades) if REFERABLE_FROM <= grade < UNGRADABLE and min(grades) >= 0)
    return Task("classes", tuple(classes), (1,) if len(classes) == 2 else referable)


def _severity(name: str) -> int:
    return -1 if _fold(name) in _NEGATIVE else _SPELLINGS.get(_fold(name), UNGRADABLE)


def task_of(manifest: Mapping[str, Any]) -> Task:
    """The task that prepared.json, run.json or bundle.json tells of by "task", "classes" and "referable".

    Raises:
        KerasDrError: other classes than a known task of that name has, or none that a grader can have.
        LookupError, TypeError: something is missing, or of another type.
    """
    name, classes = manifest["task"], tuple(manifest["classes"])
    if name not in TASKS:
        referable = tuple(manifest["referable"])
        named = len(classes) > 1 and all(isinstance(one, str) and one for one in classes)
        known = all(type(index) is int and 0 <= index < len(classes) for index in referable)
        if not named or not known or len(set(classes)) < len(classes) or len(set(referable)) < len(referable):
            expected = "two or more class names, each once, and which of them are referable"
            raise KerasDrError(expected, brief((classes, referable)), "Prepare the data set again.")
        return Task(str(name), classes, referable)
    if TASKS[name].classes != classes:
        expected = f"the classes of the task {name} ({', '.join(TASKS[name].classes)})"
        raise KerasDrError(expected, brief(classes), "Prepare the data set again.")
    return TASKS[name]
