"""What the labels of a source mean: grades, or classes of which some are positive.

The alphabet decides nothing: if the names of classes do not show which are positive or in which order they are, the
source is refused, and the error names the options that say it.
"""

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keras_dr.core.errors import KerasDrError
from keras_dr.core.tables import plain_number
from keras_dr.datasets.grades import (
    ICDR,
    REFERABLE_FROM,
    TASKS,
    UNGRADABLE,
    Task,
    bare_number,
    check_task,
    choose_task,
    find_grade,
    named_grade,
    positive_of_two,
)
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.records import Record

_GRADE_NAMES = TASKS["icdr-ungradable"].classes
_WORST = len(ICDR) - 1
_MAP_GRADES = "--map LABEL=GRADE (no_dr, mild, moderate, severe, proliferative, ungradable)"


@dataclass(frozen=True)
class Labels:
    """Records with their classes.

    Attributes:
        records: the records, with the grade or the class that each label means.
        task: the label space.
        taken: (label in the source, its class or "" for none, number of photographs), in the order of the classes.
        notes: what the user should know about the labels, in sentences.
    """

    records: list[Record]
    task: Task
    taken: tuple[tuple[str, str, int], ...]
    notes: tuple[str, ...] = ()


def understand_labels(
    records: Sequence[Record], options: SourceOptions, task: str = "auto", published: bool = False
) -> Labels:
    """Find out the grade or the class that each label means.

    Args:
        records: the records that an adapter read.
        options: the classes, the positive classes and the renamed labels that the user named.
        task: one of `TASK_NAMES`.
        published: whether the records are from a published set, whose labels have a known meaning.

    Raises:
        KerasDrError: the meaning of a label is unknown or ambiguous.
    """
    check_task(task)
    records = _in_one_spelling(records)
    notes: tuple[str, ...] = ()
    written = [record.label or ("" if record.grade is None else _GRADE_NAMES[record.grade]) for record in records]
    if not published:
        _check_map(_count_labels(records), options.renamed)
    records = _with_renamed_labels(records, written, options)
    records = _with_none_as_grade(records)
    if options.classes or options.positive is not None:
        if task not in ("auto", "classes"):
            message = f"The task {task} has classes of its own, so --classes and --positive cannot be used with it."
            raise KerasDrError(message, "Leave out --task, or leave out --classes and --positive.")
        records, chosen = _own_classes(records, options)
    else:
        if not published:
            notes = _check_grades(records, task)
        records, chosen = _known_classes(records, task, published)
    return Labels(records, chosen, _taken(written, records, chosen), notes)


def _key(label: str) -> str:
    """Return a label without case and without what joins its words; signs ("DR+", "-1") are kept."""
    return re.sub(r"(?<=\w)[\s\-./]+(?=\w)", "", label.casefold().replace("_", " ").strip())


def _in_one_spelling(records: Sequence[Record]) -> list[Record]:
    """Replace labels that differ only in case, spaces and punctuation by the most frequent spelling."""
    labels = _count_labels(records)
    spellings: dict[str, str] = {}
    for label, _ in labels.most_common():
        spellings.setdefault(_key(label), label)
    if len(spellings) == len(labels):
        return list(records)
    return [replace(record, label=spellings[_key(record.label)]) if record.label else record for record in records]


def _count_labels(records: Sequence[Record]) -> Counter[str]:
    """Return label -> number of photographs with this label."""
    return Counter(record.label for record in records if record.label)


def _listed(labels: Counter[str]) -> str:
    """Return labels with their counts for a message, at most eight."""
    shown = [f"{name} ({count})" for name, count in sorted(labels.items())[:8]]
    return ", ".join(shown) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _with_renamed_labels(records: Sequence[Record], written: Sequence[str], options: SourceOptions) -> list[Record]:
    """Give records the classes that --map names for their labels.

    Raises:
        KerasDrError: --map names a label that no photograph has.
    """
    names = {_key(label): name for label, name in options.renamed.items()}
    known = {_key(label) for label in written}
    missing = [label for label in options.renamed if _key(label) not in known]
    if missing:
        message = f"--map names the label {missing[0]!r}, which no photograph has. The labels are "
        raise KerasDrError(f"{message}{_listed(Counter(written))}.", "Correct --map.")
    renamed = []
    for record, label in zip(records, written, strict=True):
        name = names.get(_key(label)) if label else None
        renamed.append(replace(record, label=name, grade=find_grade(name)) if name else record)
    return renamed


def _with_none_as_grade(records: Sequence[Record]) -> list[Record]:
    """Take the label "None" for the grade without disease if all other labels are grades with disease."""
    labels = _count_labels(records)
    others = [label for label in labels if _key(label) != "none"]
    if len(others) == len(labels) or not others or not all(named_grade(label) > 0 for label in others):
        return list(records)
    return [replace(record, grade=0) if _key(record.label) == "none" else record for record in records]


def _own_classes(records: Sequence[Record], options: SourceOptions) -> tuple[list[Record], Task]:
    """Give records the classes that the user named: all classes in order, or only the positive ones.

    Raises:
        KerasDrError: a label is none of the classes, a positive class does not exist, or it is unknown which classes
            are positive.
    """
    labels = _count_labels(records)
    labels.update(_GRADE_NAMES[record.grade] for record in records if not record.label and record.grade is not None)
    classes = options.classes or _sorted_names(labels, options.positive or ())
    by_name = {_key(name): name for name in classes}
    by_grade = {find_grade(name): name for name in classes}
    positive = _positive(classes, options.positive)
    classified = []
    unknown = Counter[str]()
    for record in records:
        label = record.label or ("" if record.grade is None else _GRADE_NAMES[record.grade])
        grade = find_grade(label) if label else None
        name = by_name.get(_key(label)) or ("" if grade is None else by_grade.get(grade, ""))
        if label and not name:
            unknown[label] += 1
        classified.append(replace(record, label=name, grade=grade if label else record.grade))
    if unknown:
        message = f"None of the classes {', '.join(classes)} is meant by the labels {_listed(unknown)}."
        raise KerasDrError(message, "Name them in --classes, or pass --map LABEL=CLASS.")
    in_order = bool(options.classes) and len(classes) > 2
    return classified, Task("classes", tuple(classes), positive, in_order=in_order)


def _sorted_names(labels: Counter[str], positive: Sequence[str]) -> tuple[str, ...]:
    """Return the labels sorted by grade if all are grades, otherwise with the positive classes last."""
    positive_keys = {_key(name) for name in positive}
    grades = {label: find_grade(label) for label in labels}
    if all(grade is not None for grade in grades.values()):
        return tuple(sorted(labels, key=lambda label: (grades[label] or 0, label)))
    return tuple(sorted(labels, key=lambda label: (_key(label) in positive_keys, label)))


def _positive(classes: Sequence[str], wanted: Sequence[str] | None) -> tuple[int, ...]:
    """Return the indices of the positive classes.

    Args:
        classes: all class names.
        wanted: the positive classes that the user named; None: the names of the classes decide.

    Raises:
        KerasDrError: a positive class does not exist, all classes are positive, or it is unknown which are.
    """
    if wanted is None:
        return _known_positive(classes)
    keys = [_key(name) for name in classes]
    missing = [name for name in wanted if _key(name) not in keys]
    if missing:
        message = f"--positive names {missing[0]!r}, which is not a class. The classes are {', '.join(classes)}."
        raise KerasDrError(message, "Correct --positive.")
    indices = tuple(sorted(keys.index(_key(name)) for name in wanted))
    if len(indices) == len(classes):
        raise KerasDrError("--positive names every class, so no class would be negative.", "Leave one out.")
    return indices


def _known_positive(classes: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the classes that are positive by their names.

    If all classes are grades, moderate and worse are positive; of a clear pair, one is.

    Raises:
        KerasDrError: the names do not show which classes are positive.
    """
    grades = [named_grade(name) for name in classes]
    if min(grades) >= 0:
        return tuple(index for index, grade in enumerate(grades) if REFERABLE_FROM <= grade < UNGRADABLE)
    pair = positive_of_two(*classes) if len(classes) == 2 else None
    if pair is None:
        message = f"The names of the classes {', '.join(classes)} do not show which of them are positive. Patients "
        message += "with a positive class are referred to an ophthalmologist."
        raise KerasDrError(message, "Name them: --positive CLASS,..., or --positive none.")
    return (list(classes).index(pair),)


def _check_grades(records: Sequence[Record], task: str) -> tuple[str, ...]:
    """Refuse labels that may be grades or something else, and return a note on labels that probably are grades.

    Labels that mean "ungradable" do not count.

    Raises:
        KerasDrError: the labels are only 0 and 1, only R0 to R3, from 1 to 5, or numbers without 0.
    """
    gradable = [record for record in records if record.label and record.grade != UNGRADABLE]
    labels = _count_labels(gradable)
    numbers = {bare_number(label) for label in labels}
    are_grades = task in ("icdr", "icdr-ungradable")
    if numbers == {0, 1} and not are_grades:
        message = (
            f"All labels are 0 or 1 ({_listed(labels)}). They may mean the grades no_dr and mild, or not referable "
            "and referable."
        )
        positive = next(label for label in labels if bare_number(label) == 1)
        remedy = (
            f"Pass --positive {shlex.quote(positive)} if this is the positive class, or --task icdr if they are grades."
        )
        raise KerasDrError(message, remedy)
    keys = {_key(plain_number(label)) for label in labels}
    if keys and keys <= {"r0", "r1", "r2", "r3"}:
        message = (
            f"The labels {_listed(labels)} may be grades of the ICDR scale (R3 is severe) or of the scale of the "
            "British screening programme (R3 is proliferative)."
        )
        raise KerasDrError(message, f"Pass the grade of each label: {_MAP_GRADES}.")
    if keys <= {"1", "2", "3", "4", "5"} and "5" in keys:
        message = (
            f"The labels {_listed(labels)} are not ICDR grades, which go from 0 to 4: either 1 is no_dr or 5 is "
            "ungradable."
        )
        raise KerasDrError(message, f"Pass the grade of each label: {_MAP_GRADES}.")
    if are_grades or numbers <= {None} or any(record.grade is None for record in gradable):
        return ()
    if all(record.grade for record in gradable):
        raise _no_zero(labels, task)
    largest = max(number for number in numbers if number is not None)
    if None not in numbers and 0 < largest < _WORST:
        return (
            f"The labels {_listed(labels)} are taken for ICDR grades, although none is 4 (proliferative). On a shorter "
            f"scale, they have other meanings: then pass {_MAP_GRADES}.",
        )
    return ()


def _no_zero(labels: Counter[str], task: str) -> KerasDrError:
    """Return the error for numbers of which none is 0."""
    message = (
        f"No label is 0 ({_listed(labels)}). They may be ICDR grades, which begin at 0 (no_dr), or of a scale that "
        "begins at 1, such as 1 for no and 2 for yes."
    )
    choices = ["--task icdr if they are ICDR grades"] if task == "auto" else []
    if len(labels) == 2:
        choices.append(f"--positive {shlex.quote(max(labels))} if that is the positive class of two")
    choices.append(f"the grade of each label: {_MAP_GRADES}")
    return KerasDrError(message, f"Pass {', or '.join(choices)}.")


def _check_map(labels: Counter[str], renamed: Mapping[str, str]) -> None:
    """Refuse --map for some numbers of another scale but not for all.

    Args:
        labels: the labels of the source.
        renamed: label -> class, as --map names them.

    Raises:
        KerasDrError: a number gets another grade than on the ICDR scale, and another number none.
    """
    named = {_key(label) for label in renamed}
    others = [label for label in labels if bare_number(label) is not None and _key(label) not in named]
    for label, name in renamed.items():
        number, grade = bare_number(label), find_grade(name)
        if others and number is not None and grade not in (None, UNGRADABLE, number):
            message = f"--map says that {label} is {name}, so the numbers are not ICDR grades, but it leaves out "
            raise KerasDrError(f"{message}{', '.join(sorted(others))}.", f"Pass the grade of each: {_MAP_GRADES}.")


def _known_classes(records: Sequence[Record], task: str, published: bool) -> tuple[list[Record], Task]:
    """Take labels for grades, for a clear pair of classes, or for the classes that the publishers name.

    Raises:
        KerasDrError: the labels are none of these.
    """
    labels = _count_labels(records)
    not_grades = Counter({name: count for name, count in labels.items() if _is_no_grade(name, records)})
    if not not_grades:
        chosen = _in_grade_names(records, labels) if task == "classes" else list(records)
        return chosen, choose_task(task, chosen)
    if len(labels) > 2 and published:
        return list(records), choose_task(task, records)
    if len(labels) == 2 and task in ("auto", "classes"):
        return _pair(records, labels)
    if len(labels) == 1:
        return list(records), choose_task(task, records)
    raise _unknown_scale(labels, not_grades)


def _in_grade_names(records: Sequence[Record], labels: Counter[str]) -> list[Record]:
    """Replace labels that are all grades by the names of the grades, unless they are such names, each grade by one."""
    are_words = all(named_grade(label) >= 0 for label in labels)
    if are_words and len({find_grade(label) for label in labels}) == len(labels):
        return list(records)
    return [replace(record, label="" if record.grade is None else _GRADE_NAMES[record.grade]) for record in records]


def _is_no_grade(label: str, records: Sequence[Record]) -> bool:
    return next(record.grade for record in records if record.label == label) is None


def _pair(records: Sequence[Record], labels: Counter[str]) -> tuple[list[Record], Task]:
    first, second = sorted(labels)
    positive = positive_of_two(first, second)
    if positive is None:
        message = f"There are two classes, {_listed(labels)}. Their names do not show which of them is positive."
        remedy = f"Pass --positive {second} or --positive {first}, or --positive none if nobody is to be referred."
        raise KerasDrError(message, remedy)
    negative = first if positive == second else second
    classified = [replace(record, grade=record.grade if record.label else None) for record in records]
    return classified, Task("classes", (negative, positive), (1,))


def _unknown_scale(labels: Counter[str], not_grades: Counter[str]) -> KerasDrError:
    if len(not_grades) == len(labels):
        message = f"The labels {_listed(labels)} are not known names of ICDR grades, and their order is unknown."
    else:
        grades = Counter({name: count for name, count in labels.items() if name not in not_grades})
        message = f"The labels {_listed(grades)} are ICDR grades, but {_listed(not_grades)} are not."
    first = min(not_grades)
    remedy = (
        f"If they are grades, name the grade of each with --map {shlex.quote(first)}=GRADE, where GRADE is one of "
        f"{', '.join(_GRADE_NAMES)}. Otherwise name the classes in order, and those of them that are positive: "
        "--classes A,B,C --positive C."
    )
    return KerasDrError(message, remedy)


def _taken(written: Sequence[str], records: Sequence[Record], task: Task) -> tuple[tuple[str, str, int], ...]:
    """Return (label in the source, class or "", number of photographs), sorted by class."""
    counts: Counter[tuple[str, str]] = Counter()
    for label, record in zip(written, records, strict=True):
        index = task.label(record)
        counts[label, "" if index is None else task.classes[index]] += 1
    places = {name: index for index, name in enumerate(task.classes)}
    ordered = sorted(counts.items(), key=lambda item: (places.get(item[0][1], len(places)), item[0][0]))
    return tuple((label, name, count) for (label, name), count in ordered)
