"""The result of an adapter: the records of a source, and words for the user on where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_dr.datasets.records import Record


@dataclass(frozen=True)
class Reading:
    """What an adapter read from a source.

    Attributes:
        records: the photographs.
        why: how the adapter recognised the source; part of a sentence.
        columns: "image", "label", "patient", "eye" or "split" -> the table's column for it.
        unused: columns of the tables that have a name but are not used.
        unnamed: number of columns without a name, which are never data.
        tables: each table that was read -> how it is written ("semicolons, UTF-16"; "" for plain CSV).
        patients: where patients come from, such as "column Patient ID" or "the names 1000_OD and 1000_OS"; "" if they
            are unknown.
        splits: where splits come from, such as "column Usage"; "" if the source has none.
        left_out: photographs that cannot be used, with the reason.
        not_used: other files that the adapter knows but does not use -> the reason, in words that follow a number.
        notes: further sentences for the user.
    """

    records: Sequence[Record]
    why: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    unnamed: int = 0
    tables: Mapping[Path, str] = field(default_factory=dict)
    patients: str = ""
    splits: str = ""
    left_out: tuple[tuple[Record, str], ...] = ()
    not_used: Mapping[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
