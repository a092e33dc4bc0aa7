"""What an adapter understood of a source: its records, and in which words to say where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_dr.datasets.records import Record


@dataclass(frozen=True)
class Reading:
    """A source, read.

    Attributes:
        records: its photographs.
        why: what the adapter recognised, a part of a sentence.
        columns: "image", "label", "patient", "eye", "split" -> the table's column for it.
        unused: named columns of the tables that say nothing here.
        unnamed: columns without a name, which are no data.
        tables: tables that were read -> how they are written ("semicolons, UTF-16", "" for plain CSV).
        patients: where patients come from, "column Patient ID" or "the names 1000_OD and 1000_OS"; "" where unknown.
        splits: where splits come from, "column Usage"; "" where the source has none.
        left_out: photographs that cannot be used, with the reason.
        passed: files that were understood and are not used -> the reason, in words that follow a number.
        notes: further sentences that a person should read.
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
    passed: Mapping[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
