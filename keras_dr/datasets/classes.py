"""What the labels of a source are taken for: grades, or classes with an order and a positive side; else it is asked.

Nobody is sent home because of the alphabet: where names do not tell which class is positive, or how classes stand to
each other, the source is refused with the options that say it.
"""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from keras_dr.core.errors import KerasDrError
from keras_dr.datasets.grades import (
    REFERABLE_FROM,
    TASKS,
    UNGRADABLE,
    Task,
    check_task,
    choose_task,
    find_grade,
    named_grade,
    positive_of_two,
)
from keras_dr.datasets.options import SourceOptions
from keras_dr.datasets.records import Record

_GRADE_NAMES = TASKS["icdr-ungradable"].classes
_MAP_GRADES = "--map LABEL=GRADE (no_dr, mild, moderate, severe, proliferative, ungradable)"


@dataclass(frozen=True)
class Labels:
    """Records with their classes.

    Attributes:
        records: as read, with the grade or the class that each label is taken for.
        task: the label space.
        taken: (label in the source, class or "" for none, photographs), in the order of the classes.
    """

    records: list[Record]
    task: Task
    taken: tuple[tuple[str, str, int], ...]


def understand_labels(
    records: Sequence[Record], options: SourceOptions, task: str = "auto", published: bool = False
) -> Labels:
    """Take labels for grades or classes.

    Args:
        records: as an adapter read them.
        options: classes, positive classes and other names for labels.
        task: one of `TASK_NAMES`.
        published: whether the set's publishers say what its labels are.

    Raises:
        KerasDrError: labels that may be taken for two things, or for nothing that is known.
    """
    check_task(task)
    records = _in_one_spelling(records)
    written = [record.label or ("" if record.grade is None else _GRADE_NAMES[record.grade]) for record in records]
    records = _renamed(records, written, options)
    records = _without_the_word_none(records)
    if options.classes or options.positive is not None:
        if task not in ("auto", "classes"):
            message = f"The task {task} has classes of its own, so --classes and --positive say nothing to it."
            raise KerasDrError(message, "Leave out --task, or them.")
        records, chosen = _own_classes(records, options)
    else:
        if not published:
            _check_grades(records, task)
        records, chosen = _known_classes(records, task, published)
    return Labels(records, chosen, _taken(written, records, chosen))


def _key(label: str) -> str:
    """What spellings of one label share: case and what joins words set aside, signs ("DR+", "-1") kept."""
    return re.sub(r"(?<=\w)[\s\-./]+(?=\w)", "", label.casefold().replace("_", " ").strip())


def _in_one_spelling(records: Sequence[Record]) -> list[Record]:
    """With labels that differ in case, spaces and punctuation alone as the most frequent of them."""
    labels = _labels(records)
    best: dict[str, str] = {}
    for label, _ in labels.most_common():
        best.setdefault(_key(label), label)
    if len(best) == len(labels):
        return list(records)
    return [replace(one, label=best[_key(one.label)]) if one.label else one for one in records]


def _labels(records: Sequence[Record]) -> Counter[str]:
    """Label -> photographs, of those that have one."""
    return Counter(record.label for record in records if record.label)


def _said(labels: Counter[str]) -> str:
    """Labels and their counts for a message, eight at most."""
    shown = [f"{name} ({count})" for name, count in sorted(labels.items())[:8]]
    return ", ".join(shown) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _renamed(records: Sequence[Record], written: Sequence[str], options: SourceOptions) -> list[Record]:
    """With the classes that --map names.

    Raises:
        KerasDrError: a label that no photograph has.
    """
    names = {_key(label): name for label, name in options.renamed.items()}
    there = {_key(label) for label in written}
    missing = [label for label in options.renamed if _key(label) not in there]
    if missing:
        message = f"--map names the label {missing[0]!r}, which no photograph has; there are {_said(Counter(written))}."
        raise KerasDrError(message, "Correct --map.")
    found = []
    for record, label in zip(records, written, strict=True):
        name = names.get(_key(label)) if label else None
        found.append(replace(record, label=name, grade=find_grade(name)) if name else record)
    return found


def _without_the_word_none(records: Sequence[Record]) -> list[Record]:
    """ "None" beside Mild, Moderate, Severe is the grade without disease."""
    labels = _labels(records)
    others = [label for label in labels if _key(label) != "none"]
    if len(others) == len(labels) or not others or not all(named_grade(label) > 0 for label in others):
        return list(records)
    return [replace(one, grade=0) if _key(one.label) == "none" else one for one in records]


def _own_classes(records: Sequence[Record], options: SourceOptions) -> tuple[list[Record], Task]:
    """Classes of which a person named all in order, or the positive ones.

    Raises:
        KerasDrError: a label among none of the classes, a positive class that is none, or no word of which are
            positive.
    """
    labels = _labels(records)
    labels.update(_GRADE_NAMES[one.grade] for one in records if not one.label and one.grade is not None)
    classes = options.classes or _sorted_names(labels, options.positive or ())
    by_name = {_key(name): name for name in classes}
    by_grade = {grade: name for name in classes if (grade := find_grade(name)) is not None}
    positive = _positive(classes, options.positive)
    found, strangers = [], Counter[str]()
    for record in records:
        label = record.label or ("" if record.grade is None else _GRADE_NAMES[record.grade])
        grade = find_grade(label) if label else None
        name = by_name.get(_key(label)) or ("" if grade is None else by_grade.get(grade, ""))
        if label and not name:
            strangers[label] += 1
        found.append(replace(record, label=name, grade=grade if label else record.grade))
    if strangers:
        message = f"No class among {', '.join(classes)} has the labels {_said(strangers)}."
        raise KerasDrError(message, "Name them in --classes, or say --map LABEL=CLASS.")
    in_order = bool(options.classes) and len(classes) > 2
    return found, Task("classes", tuple(classes), positive, in_order=in_order)


def _sorted_names(labels: Counter[str], positive: Sequence[str]) -> tuple[str, ...]:
    """By grade where all are grades; else the positive ones behind the others, which claims no order."""
    wanted = {_key(name) for name in positive}
    grades = {label: find_grade(label) for label in labels}
    if all(grade is not None for grade in grades.values()):
        return tuple(sorted(labels, key=lambda label: (grades[label] or 0, label)))
    return tuple(sorted(labels, key=lambda label: (_key(label) in wanted, label)))


def _positive(classes: Sequence[str], wanted: Sequence[str] | None) -> tuple[int, ...]:
    """Indices of the positive classes.

    Raises:
        KerasDrError: one is no class, all are positive, or nobody says which are.
    """
    if wanted is None:
        return _known_positive(classes)
    keys = [_key(name) for name in classes]
    missing = [name for name in wanted if _key(name) not in keys]
    if missing:
        message = f"--positive names {missing[0]!r}, which is no class; the classes are {', '.join(classes)}."
        raise KerasDrError(message, "Correct --positive.")
    found = tuple(sorted(keys.index(_key(name)) for name in wanted))
    if len(found) == len(classes):
        raise KerasDrError("--positive names every class, so that nothing tells them apart.", "Leave one out.")
    return found


def _known_positive(classes: Sequence[str]) -> tuple[int, ...]:
    """Of classes in order: those from moderate on where all are grades, or that of a clear pair.

    Raises:
        KerasDrError: their names do not tell.
    """
    grades = [named_grade(name) for name in classes]
    if min(grades) >= 0:
        return tuple(index for index, grade in enumerate(grades) if REFERABLE_FROM <= grade < UNGRADABLE)
    pair = positive_of_two(*classes) if len(classes) == 2 else None
    if pair is None:
        message = (
            f"Which of the classes {', '.join(classes)} send a patient to an ophthalmologist, their names do not tell."
        )
        raise KerasDrError(message, "Say it: --positive CLASS,..., or --positive none.")
    return (list(classes).index(pair),)


def _check_grades(records: Sequence[Record], task: str) -> None:
    """Refuse labels that are grades by their spelling and may yet be something else.

    Raises:
        KerasDrError: only 0 and 1, or R0 to R3 without R4.
    """
    labels = _labels(records)
    keys = {_key(label) for label in labels}
    numbers = {"0", "1"}
    plain = {str(one.grade) for one in records if one.label and one.grade is not None and _is_number(one.label)}
    if labels and plain == numbers and all(map(_is_number, labels)) and task not in ("icdr", "icdr-ungradable"):
        message = f"All labels are 0 or 1 ({_said(labels)}): the grades no_dr and mild, or not referable and referable?"
        raise KerasDrError(message, "Say --positive 1 if 1 is the positive class, or --task icdr if they are grades.")
    if keys and keys <= {"r0", "r1", "r2", "r3"}:
        message = (
            f"The labels {_said(labels)} may be grades of the ICDR scale (R3 is severe) or of the scale of the British "
            "screening programme (R3 is proliferative)."
        )
        raise KerasDrError(message, f"Say it for each label: {_MAP_GRADES}.")
    if keys and keys <= {"1", "2", "3", "4", "5"} and "5" in keys:
        message = f"The labels {_said(labels)} are no ICDR grades, which go from 0 to 4: is 1 no_dr, or 5 ungradable?"
        raise KerasDrError(message, f"Say it for each label: {_MAP_GRADES}.")


def _is_number(label: str) -> bool:
    return label.replace(".", "", 1).isdigit()


def _known_classes(records: Sequence[Record], task: str, published: bool) -> tuple[list[Record], Task]:
    """Grades, a clear pair, or what the publishers name.

    Raises:
        KerasDrError: labels that are neither.
    """
    labels = _labels(records)
    strangers = Counter({name: count for name, count in labels.items() if _no_grade(name, records)})
    if not strangers:
        if task != "classes":
            return list(records), choose_task(task, records)
        named = [replace(one, label="" if one.grade is None else _GRADE_NAMES[one.grade]) for one in records]
        words = all(named_grade(label) >= 0 for label in labels)
        chosen = list(records) if words and len({find_grade(name) for name in labels}) == len(labels) else named
        return chosen, choose_task(task, chosen)
    if len(labels) > 2 and published:
        return list(records), choose_task(task, records)
    if len(labels) == 2 and len(strangers) > 0 and task in ("auto", "classes"):
        return _pair(records, labels)
    if len(labels) == 1:
        return list(records), choose_task(task, records)
    raise _unknown_scale(labels, strangers)


def _no_grade(label: str, records: Sequence[Record]) -> bool:
    return next(one.grade for one in records if one.label == label) is None


def _pair(records: Sequence[Record], labels: Counter[str]) -> tuple[list[Record], Task]:
    first, second = sorted(labels)
    positive = positive_of_two(first, second)
    if positive is None:
        message = f"There are two classes, {_said(labels)}; which of them is the positive one, their names do not tell."
        remedy = f"Say --positive {second} or --positive {first}; --positive none where nobody is to be referred."
        raise KerasDrError(message, remedy)
    negative = first if positive == second else second
    found = [replace(one, grade=one.grade if one.label else None) for one in records]
    return found, Task("classes", (negative, positive), (1,))


def _unknown_scale(labels: Counter[str], strangers: Counter[str]) -> KerasDrError:
    if len(strangers) == len(labels):
        message = (
            f"The labels {_said(labels)} are no names of ICDR grades that are known, and their order is not either."
        )
    else:
        known = Counter({name: count for name, count in labels.items() if name not in strangers})
        message = f"Of the labels, {_said(known)} are an ICDR grade, but {_said(strangers)} are none."
    first = min(strangers)
    remedy = (
        f"If they are grades, say so for each, --map {shlex.quote(first)}=GRADE, which is one of "
        f"{', '.join(_GRADE_NAMES)}; else name the classes in order, and the positive ones or none: "
        "--classes A,B,C --positive C."
    )
    return KerasDrError(message, remedy)


def _taken(written: Sequence[str], records: Sequence[Record], task: Task) -> tuple[tuple[str, str, int], ...]:
    """(label in the source, class or "", photographs), by class."""
    counts: Counter[tuple[str, str]] = Counter()
    for label, record in zip(written, records, strict=True):
        index = task.label(record)
        counts[label, "" if index is None else task.classes[index]] += 1
    places = {name: index for index, name in enumerate(task.classes)}
    ordered = sorted(counts.items(), key=lambda item: (places.get(item[0][1], len(places)), item[0][0]))
    return tuple((label, name, count) for (label, name), count in ordered)
