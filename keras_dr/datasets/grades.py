"""The ICDR severity scale and the tasks (label spaces) that a grader can be trained on.

Scale: Wilkinson et al., "Proposed international clinical diabetic retinopathy and diabetic macular edema disease
severity scales", Ophthalmology 110(9), 2003. Referable means moderate or worse (grade >= 2), as in Gulshan et al.,
JAMA 316(22), 2016.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_dr.core.errors import KerasDrError, brief
from keras_dr.core.tables import fold
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
        in_order: whether somebody said that the classes stand in an order, where their names do not tell.
    """

    name: str
    classes: tuple[str, ...]
    referable: tuple[int, ...]
    labels: tuple[int | None, ...] = field(default=(), compare=False)
    in_order: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What `task_of` reads back, for a manifest."""
        about = {"task": self.name, "classes": list(self.classes), "referable": list(self.referable)}
        about["positive"] = [self.classes[index] for index in self.referable]  # for people
        return about | ({"in_order": True} if self.in_order else {})

    @property
    def positive(self) -> str:
        """The positive classes in words, for tables and plots; "" where there are none."""
        return "referable DR" if self.name in TASKS else " or ".join(self.classes[index] for index in self.referable)

    @property
    def ordered(self) -> int:
        """How many of the classes, from the first on, stand in an order: the grades, or any two; 0 for named classes.

        A class beside the grades ("ungradable") is none of them.
        """
        if len(self.classes) == 2 or self.in_order:
            return len(self.classes)
        grades = [named_grade(name) for name in self.classes]
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
            message = f"No photograph has a class of the task {self.name}. The first is left out for this reason"
            raise KerasDrError(f"{message}: {left_out[0][1]}.", "Change --task.")
        return [record for record in records if self.label(record) is not None], left_out

    def _reason(self, record: Record) -> str:
        return f"ungradable: no class of the task {self.name}" if record.grade == UNGRADABLE else "no grade"


TASKS = {
    "icdr": Task("icdr", ICDR, (2, 3, 4), (0, 1, 2, 3, 4, None)),
    "icdr-ungradable": Task("icdr-ungradable", (*ICDR, "ungradable"), (2, 3, 4), (0, 1, 2, 3, 4, 5)),
    "referable": Task("referable", ("not_referable", "referable"), (1,), (0, 0, 1, 1, 1, None)),
}
TASK_NAMES = ("auto", *TASKS, "classes")

_DISEASE = "(diabeticretinopathy|retinopathy|dr)"
_BACKGROUND = f"(npdr|non(proliferative|pdr){_DISEASE}?|{_DISEASE})?"
# How published sets call the grades, compared without case and marks ("Mild NPDR", "Proliferate_DR").
_NAMES = (
    (0, re.compile(f"(no|non|without)(apparent|visible|(any)?signsof|(any)?signof|any)?{_DISEASE}")),
    (0, re.compile("(normal|healthy)(fundus|retina)?")),
    *((grade, re.compile(name + _BACKGROUND)) for grade, name in ((1, "mild"), (2, "moderate"), (3, "severe"))),
    (4, re.compile(f"pdr|(proliferative|proliferate){_DISEASE}?(pdr)?")),
    (UNGRADABLE, re.compile("(un|not|non)grade?able")),
)
# "grade_0", "DR0", "R4", "0 - No DR", "Moderate NPDR (2)"
_NUMBERED = re.compile(r"([^\W\d]*)([0-4])([^\W\d]*)")
_PREFIX = re.compile(r"(dr|icdr|grade|level|class|stage|severity|degree|label)+|r")
# Names of the negative class of two, apart from those that say "no" to the other one.
_NEGATIVE = {
    *("normal", "healthy", "negative", "neg", "control", "controls", "benign", "unaffected", "absent", "no", "false"),
    *("nofinding", "nofindings", "nodisease", "nopathology", "notreferable", "nonreferable", "nrdr", "nonrdr"),
    *("nodr", "nondr", "noabnormality", "diseasefree", "nonglaucoma"),
}
# Names that say something else than how ill an eye is: beside a healthy class they are not clearly the positive one.
_OTHER = {
    *("other", "others", "unknown", "unlabeled", "unlabelled", "reject", "rejected", "bad", "good", "poor", "blurry"),
    *("blurred", "usable", "unusable", "lowquality", "badquality", "poorquality", "left", "right", "artifact", "none"),
}
_NEGATIONS = ("no", "non", "not", "without")


def _word_grade(text: str) -> int | None:
    """The grade that a name says without any number, or None."""
    folded = fold(re.sub(r"\((n?pdr|dr|nodr)\)", "", text, flags=re.IGNORECASE))
    return next((grade for grade, pattern in _NAMES if pattern.fullmatch(folded)), None)


def find_grade(text: str) -> int | None:
    """The grade that a text names, see `parse_grade`, or None."""
    if (grade := _word_grade(text)) is not None:
        return grade
    number = _number(text)
    if number in range(len(ICDR)):
        return int(number)
    match = _NUMBERED.fullmatch(fold(text)) if number == math.inf else None
    if match is None:
        return None
    grade = int(match[2])
    return grade if all(_fits(words, grade) for words in (match[1], match[3])) else None


def _fits(words: str, grade: int) -> bool:
    """Whether the words before or after a number name its grade or nothing: "mild", "dr", ""."""
    return not words or _PREFIX.fullmatch(words) is not None or _word_grade(words) == grade


def is_negative(name: str) -> bool:
    """Whether a class name says, by itself, that nothing was found: "Normal", "No DR", "negative"."""
    folded = re.sub("(eyes?|fundus|retinas?|control|images?|photos?|cases?)$", "", fold(name))
    return fold(name) in _NEGATIVE or folded in _NEGATIVE or _word_grade(name) == 0


def is_known_class(name: str) -> bool:
    """Whether a folder's name is clearly one of a class: a grade, or a negative class."""
    return find_grade(name) is not None or is_negative(name)


def positive_of_two(one: str, other: str) -> str | None:
    """The positive one of two class names, where they are a clear pair: one says that the other is not there.

    Of "DR" and "No DR", "Normal" and "Glaucoma", "RDR" and "NRDR" the first, the second, the first; None of "Sano" and
    "Enfermo", of "0" and "1", or of "normal" and "blurry".
    """
    for positive, negative in ((one, other), (other, one)):
        if fold(negative) in {word + fold(positive) for word in _NEGATIONS}:
            return positive
    if is_negative(one) == is_negative(other):
        return None
    positive = other if is_negative(one) else one
    strange = fold(positive) in _OTHER or _number(positive) < math.inf or find_grade(positive) == UNGRADABLE
    return None if strange else positive


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
    return KerasDrError(f"The label is no ICDR grade, 0 to 4 or one of {', '.join(ICDR)}: {found}.", remedy)


def _number(text: str) -> float:
    """The number that a text says, infinity where it says none."""
    try:
        number = float(text)
    except ValueError:
        return math.inf
    return math.inf if math.isnan(number) else number


def check_task(name: str) -> str:
    """Return the name if there is such a task.

    Raises:
        KerasDrError: there is no such task.
    """
    if name not in TASK_NAMES:
        raise KerasDrError(f"There is no task {name!r}; there are {', '.join(TASK_NAMES)}.", "Correct --task.")
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
        message = f"A task needs photographs of two or more classes, but they have {', '.join(classes) or 'none'}."
        raise KerasDrError(message, "Add the other classes.")
    grades = [named_grade(name) for name in classes]
    referable = tuple(i for i, grade in enumerate(grades) if REFERABLE_FROM <= grade < UNGRADABLE and min(grades) >= 0)
    return Task("classes", tuple(classes), (1,) if len(classes) == 2 else referable)


def _severity(name: str) -> int:
    grade = named_grade(name)
    return -1 if is_negative(name) else UNGRADABLE if grade < 0 else grade


def named_grade(name: str) -> int:
    """The grade that a class name says in words or with a prefix; -1 of others, and of bare numbers."""
    grade = None if _number(name) < math.inf else find_grade(name)
    return -1 if grade is None else grade


def task_of(manifest: Mapping[str, Any]) -> Task:
    """Return the task that prepared.json, run.json or bundle.json describes by "task", "classes" and "referable".

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
            message = f"The classes and the indices of the referable ones are {brief((classes, referable))}"
            message += "; they must be two or more class names and indices of some of them, none twice."
            raise KerasDrError(message, "Prepare the data set again.")
        return Task(str(name), classes, referable, in_order=manifest.get("in_order") is True)
    if TASKS[name].classes != classes:
        message = f"The classes of the task {name} are {', '.join(TASKS[name].classes)}, not {brief(classes)}."
        raise KerasDrError(message, "Prepare the data set again.")
    return TASKS[name]
