"""The ICDR severity scale and the tasks (label spaces) that a grader can be trained on.

Scale: Wilkinson et al., "Proposed international clinical diabetic retinopathy and diabetic macular edema disease
severity scales", Ophthalmology 110(9), 2003. Referable means moderate or worse (grade >= 2), as in Gulshan et al.,
JAMA 316(22), 2016.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_dr.core.decision import condition_words
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
        name: key in `TASKS`, or "classes" for the classes that the data set names.
        classes: class names in the order of the model's outputs.
        referable: indices of the positive classes, whose patients are sent to an ophthalmologist. If it is empty,
            nobody is referred, and there are no figures for referral.
        labels: for each grade 0..4 and `UNGRADABLE`, the index in `classes`, or None if the task has no class for it.
        in_order: whether the user said that the classes are ordered; their names may say so themselves.
    """

    name: str
    classes: tuple[str, ...]
    referable: tuple[int, ...]
    labels: tuple[int | None, ...] = field(default=(), compare=False)
    in_order: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the task for a manifest, as `task_of` reads it back."""
        content = {"task": self.name, "classes": list(self.classes), "referable": list(self.referable)}
        content["positive"] = [self.classes[index] for index in self.referable]  # for people
        return content | ({"in_order": True} if self.in_order else {})

    @property
    def positive(self) -> str:
        """The positive classes in words, for tables and plots; "" if there are none."""
        return condition_words(self.name, self.classes, self.referable)

    @property
    def ordered(self) -> int:
        """Number of classes, counted from the first, that are ordered; 0 if none are.

        Two classes are always ordered, grades are, and so are all classes if `in_order` says so. "ungradable" is not a
        grade.
        """
        if len(self.classes) == 2 or self.in_order:
            return len(self.classes)
        grades = [named_grade(name) for name in self.classes]
        return sum(grade < UNGRADABLE for grade in grades) if min(grades) >= 0 else 0

    def label(self, record: Record) -> int | None:
        """Return the class index of a photograph; None if the task has no class for it."""
        if self.name in TASKS:
            return None if record.grade is None else self.labels[record.grade]
        published = _published_class(record)
        return self.classes.index(published) if published else None

    def usable(self, records: Sequence[Record]) -> tuple[list[Record], list[tuple[Record, str]]]:
        """Return the photographs that have a class, and the others with the reason.

        If no photograph has a grade, all are usable: a grader cannot be trained on them, but its decisions can be
        explained on them.

        Args:
            records: the photographs.

        Raises:
            KerasDrError: there are grades, but no photograph has a class.
        """
        if not any(map(_published_class, records)):
            return list(records), []
        left_out = [(record, self._reason(record)) for record in records if self.label(record) is None]
        if len(left_out) == len(records):
            message = f"No photograph has a class of the task {self.name}. The reason for the first is"
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
# Names of the grades in published sets ("Mild NPDR", "Proliferate_DR"), compared without case and punctuation.
_NAMES = (
    (0, re.compile(f"(no|non|without)(apparent|visible|(any)?signsof|(any)?signof|any)?{_DISEASE}")),
    (0, re.compile("(normal|healthy)(fundus|retina)?")),
    (1, re.compile("mild" + _BACKGROUND)),
    (2, re.compile("moderate" + _BACKGROUND)),
    (3, re.compile("severe" + _BACKGROUND)),
    (4, re.compile(f"pdr|(proliferative|proliferate){_DISEASE}?(pdr)?")),
    (UNGRADABLE, re.compile("(un|not|non)grade?able")),
)
_SCALE_WORDS = "(dr|icdr|grade|level|class|stage|severity|degree|label)"  # before a number
# What joins the words and numbers of a label without changing what they say. Any other sign may change it: "> 2", "2?".
_JOINERS = re.compile(r"[\w\s.,:;()\[\]{}/\\|&#=!'\"`-]|[\u2010-\u2015]|\+(?=\d)|\.\.\.")
# a minus before the number, if not between words ("Grade - 2", "Severe -3"), or at the end
_MINUS = re.compile(
    rf"^\s*(({_SCALE_WORDS}\s+)?[-\u2010-\u2015]|[-\u2010-\u2015]\s+)\d"
    r"|[-\u2010-\u2015]\s*$",
    re.IGNORECASE,
)
# "grade_0", "DR0", "R4", "0 - No DR", "Moderate NPDR (2)"
_NUMBERED = re.compile(r"([^\W\d]*)([0-4])([^\W\d]*)")
_PREFIX = re.compile(f"{_SCALE_WORDS}+|r")
# Names of the negative class of two, besides those that negate the name of the other class.
_NEGATIVE = {
    *("normal", "healthy", "negative", "neg", "control", "controls", "benign", "unaffected", "absent", "no", "false"),
    *("nofinding", "nofindings", "nodisease", "nopathology", "notreferable", "nonreferable", "nrdr", "nonrdr"),
    *("nodr", "nondr", "noabnormality", "diseasefree", "nonglaucoma"),
}
# Names that do not say how ill an eye is: next to a healthy class, they are not clearly the positive class.
_OTHER = {
    *("other", "others", "unknown", "unlabeled", "unlabelled", "reject", "rejected", "bad", "good", "poor", "blurry"),
    *("blurred", "usable", "unusable", "lowquality", "badquality", "poorquality", "left", "right", "artifact", "none"),
}
_NEGATIONS = ("no", "non", "not", "without")


def _word_grade(text: str) -> int | None:
    """Return the grade that a name says without a number, or None."""
    if _is_doubtful(text):
        return None
    folded = fold(re.sub(r"\((n?pdr|dr|nodr)\)", "", text, flags=re.IGNORECASE))
    return next((grade for grade, pattern in _NAMES if pattern.fullmatch(folded)), None)


def _is_doubtful(text: str) -> bool:
    """Whether a text has a sign that may change what its words or numbers say: "> 2", "mild?", "2+", "-1"."""
    plain = _plain(text)
    return _JOINERS.sub("", plain) != "" or _MINUS.search(plain) is not None


def _plain(text: str) -> str:
    """Return a text with the usual forms of its letters and signs, without invisible ones."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(letter for letter in normal if unicodedata.category(letter) != "Cf")


def find_grade(text: str) -> int | None:
    """Return the grade that a text names, as for `parse_grade`; None if it names none."""
    grade = _word_grade(text)
    if grade is not None:
        return grade
    number = _number(text)
    if number in range(len(ICDR)):
        return int(number)
    match = _numbered(text) if number == math.inf else None
    if match is None:
        return None
    grade = int(match[2])
    return grade if all(_fits(words, grade) for words in (match[1], match[3])) else None


def bare_number(text: str) -> int | None:
    """Return the grade of a text that says it by a number alone, of any scale: "2", "2.0", "stage 2".

    Returns:
        None if the text names no grade, says it in words as well ("2 - moderate"), or names the scale ("ICDR 2").
    """
    grade = find_grade(text)
    if grade is None or _number(text) < math.inf:
        return grade
    match = _numbered(text)
    if match is None or any("icdr" in words or _word_grade(words) == grade for words in (match[1], match[3])):
        return None
    return grade


def _numbered(text: str) -> re.Match[str] | None:
    return None if _is_doubtful(text) else _NUMBERED.fullmatch(fold(text))


def _fits(words: str, grade: int) -> bool:
    """Whether the words before or after a number agree with it: they name its grade ("mild") or none ("dr", "")."""
    return not words or _PREFIX.fullmatch(words) is not None or _word_grade(words) == grade


def is_negative(name: str) -> bool:
    """Whether a class name by itself means that there is no disease: "Normal", "No DR", "negative"."""
    if _is_doubtful(name):
        return False
    folded = re.sub("(eyes?|fundus|retinas?|control|images?|photos?|cases?)$", "", fold(name))
    return fold(name) in _NEGATIVE or folded in _NEGATIVE or _word_grade(name) == 0


def is_known_class(name: str) -> bool:
    """Whether a folder's name is clearly that of a class: a grade, or a negative class."""
    return find_grade(name) is not None or is_negative(name)


def _is_doubted_grade(name: str) -> bool:
    """Whether a class name is empty, a grade or a healthy class but for a sign that may change what it says."""
    words = "".join(letter if letter.isalnum() or letter in "_-" else " " for letter in _plain(name)).strip(" -")
    alone = re.sub(r"\d", "", words).strip()
    is_known = find_grade(words) is not None or is_negative(words) or is_negative(alone)
    return not words or (_is_doubtful(name) and is_known)


def positive_of_two(first: str, second: str) -> str | None:
    """Return the positive one of two class names, or None if their names do not show which is positive.

    They show it if one name negates the other, or if exactly one means that there is no disease. So "DR" is positive
    next to "No DR", "Glaucoma" next to "Normal", and "RDR" next to "NRDR"; the result is None for "Sano" and "Enfermo",
    for "0" and "1", and for "normal" and "blurry".
    """
    if _is_doubted_grade(first) or _is_doubted_grade(second):
        return None
    for positive, negative in ((first, second), (second, first)):
        if fold(negative) in {word + fold(positive) for word in _NEGATIONS}:
            return positive
    if is_negative(first) == is_negative(second):
        return None
    positive = second if is_negative(first) else first
    unclear = fold(positive) in _OTHER or _number(positive) < math.inf or find_grade(positive) == UNGRADABLE
    return None if unclear else positive


def parse_grade(text: str) -> int:
    """Return the grade that a text names.

    Args:
        text: a number 0..4 ("3", "3.0"), or a name ("No_DR", "Severe", "Proliferate_DR"; "ungradable" is 5).

    Raises:
        KerasDrError: the text is neither.
    """
    grade = find_grade(text)
    if grade is None:
        raise _no_grade(repr(text), "Correct the label, or leave that row out.")
    return grade


def _no_grade(label: str, remedy: str) -> KerasDrError:
    message = f"A label must be an ICDR grade, 0 to 4 or one of {', '.join(ICDR)}, but is {label}."
    return KerasDrError(message, remedy)


def _number(text: str) -> float:
    """Return a text as a number; infinity if it is none."""
    try:
        number = float(text)
    except ValueError:
        return math.inf
    if "_" in text:  # float("0_1") is 1
        return math.inf
    return math.inf if math.isnan(number) else number


def check_task(name: str) -> str:
    """Return the name of a task if the task exists.

    Raises:
        KerasDrError: there is no task of this name.
    """
    if name not in TASK_NAMES:
        raise KerasDrError(f"There is no task {name!r}. Known are {', '.join(TASK_NAMES)}.", "Correct --task.")
    return name


def choose_task(name: str, records: Sequence[Record]) -> Task:
    """Return the task of a name for these photographs.

    Args:
        name: one of `TASK_NAMES`; "auto" is "icdr", or "classes" if no photograph has an ICDR grade but some have a
            class.
        records: the photographs.

    Raises:
        KerasDrError: there is no task of this name, a label is not a grade but the task needs grades, or there are
            fewer than two classes.
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
    """Return the class as the data set names it, or the name of the grade; "" if there is neither."""
    if record.label or record.grade is None:
        return record.label
    return TASKS["icdr-ungradable"].classes[record.grade]


def _task_of_classes(names: set[str]) -> Task:
    """Return the task of these classes, sorted by severity if their names say it, then by number and alphabet."""
    classes = sorted(names, key=lambda name: (_severity(name), _number(name), name))
    if len(classes) < 2:
        message = "A task needs photographs of two or more classes, but "
        message += f"all are of the class {classes[0]}." if classes else "none has a class."
        raise KerasDrError(message, "Add the other classes.")
    if len(classes) == 2:
        return Task("classes", tuple(classes), (1,))
    grades = [named_grade(name) for name in classes]
    referable = [index for index, grade in enumerate(grades) if REFERABLE_FROM <= grade < UNGRADABLE]
    return Task("classes", tuple(classes), tuple(referable) if min(grades) >= 0 else ())


def _severity(name: str) -> int:
    if is_negative(name):
        return -1
    grade = named_grade(name)
    return UNGRADABLE if grade < 0 else grade


def named_grade(name: str) -> int:
    """Return the grade that a class name says in words or with a prefix; -1 for other names and for bare numbers."""
    grade = None if _number(name) < math.inf else find_grade(name)
    return -1 if grade is None else grade


def task_of(manifest: Mapping[str, Any]) -> Task:
    """Return the task that prepared.json, run.json or bundle.json describes by "task", "classes" and "referable".

    Args:
        manifest: the content of that file.

    Raises:
        KerasDrError: the classes are not those of the known task of that name, or no grader can have them.
        LookupError, TypeError: a value is missing or of another type.
    """
    name = manifest["task"]
    classes = tuple(manifest["classes"])
    if name not in TASKS:
        referable = tuple(manifest["referable"])
        named = len(classes) > 1 and all(isinstance(class_name, str) and class_name for class_name in classes)
        known = all(type(index) is int and 0 <= index < len(classes) for index in referable)
        repeated = len(set(classes)) < len(classes) or len(set(referable)) < len(referable)
        if not named or not known or repeated:
            message = f"The classes and the indices of the referable classes are {brief((classes, referable))}. They "
            message += "must be two or more class names and indices of these names, each only once."
            raise KerasDrError(message, "Prepare the data set again.")
        return Task(str(name), classes, referable, in_order=manifest.get("in_order") is True)
    if TASKS[name].classes != classes:
        message = f"The classes of the task {name} are {', '.join(TASKS[name].classes)}, not {brief(classes)}."
        raise KerasDrError(message, "Prepare the data set again.")
    return TASKS[name]
