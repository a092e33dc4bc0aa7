"""Reports as one HTML file that needs no other file."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_dr.core import folders
from keras_dr.reports.tables import NOTICE, Table, show


@dataclass(frozen=True)
class Picture:
    """A PNG file and its caption."""

    file: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading, followed by text, tables and pictures in the given order."""

    title: str
    parts: Sequence[str | Table | Picture]


_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --paper: #fff; --line: #d5dae1; --soft: #f4f6f9; --accent: #1f5fa8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --paper: #14181f; --line: #343c48; --soft: #1d232c; --accent: #7fb2ea } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem } h2 { font-size: 1.2rem; margin-top: 2.4rem; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: left }
th { color: var(--accent); font-weight: 600 } .number { text-align: right }
td small { opacity: .75; white-space: nowrap }
figure { margin: 1.2rem 0 } img { max-width: 100%; background: #fff; border: 1px solid var(--line) }
figcaption, footer { font-size: .9rem; opacity: .8 } footer { margin: 3rem 0; border-top: 1px solid var(--line) }
.scroll { overflow-x: auto }
@media print { body { margin: 0; max-width: none } h2 { break-after: avoid } figure, table { break-inside: avoid } }
"""

_NUMBER = ' class="number"'


def write_html(file: Path, title: str, sections: Sequence[Section]) -> None:
    """Write a page with embedded pictures and without scripts, for light, dark and print; all text is escaped."""
    body = "\n".join(_section(section) for section in sections)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n<footer>{NOTICE}</footer></body></html>\n"
    )
    folders.write_bytes(file, page.encode())


def _section(section: Section) -> str:
    return "\n".join([f"<h2>{html.escape(section.title)}</h2>", *map(_part, section.parts)])


def _part(part: str | Table | Picture) -> str:
    if isinstance(part, Table):
        cells = [[show(value) for value in row] for row in part.rows]
        numeric = [any(_is_number(text) for text in column) for column in zip(*cells, strict=True)]
        rows = ["".join(map(_cell, row, numeric)) for row in cells]
        head = "".join(map(_head, part.columns, numeric or [False] * len(part.columns)))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
    if isinstance(part, Picture):
        data = base64.b64encode(part.file.read_bytes()).decode()
        caption = html.escape(part.caption)
        image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    return f"<p>{html.escape(part)}</p>"


def _head(name: str, numeric: bool) -> str:
    return f"<th{_NUMBER if numeric else ''}>{html.escape(name)}</th>"


def _is_number(text: str) -> bool:
    """Whether a cell begins with a number, which may be negative."""
    return text.removeprefix("-")[:1].isdigit()


def _cell(text: str, numeric: bool) -> str:
    """Return a table cell; the interval in brackets after a number is placed below it."""
    if numeric and _is_number(text) and text.endswith(")"):
        value, _, interval = text.partition(" (")
        return f"<td{_NUMBER}>{html.escape(value)}<br><small>({html.escape(interval)}</small></td>"
    return f"<td{_NUMBER if numeric else ''}>{html.escape(text)}</td>"
