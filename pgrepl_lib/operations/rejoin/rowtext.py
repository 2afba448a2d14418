"""Rows as lines of JSON, out of the bytes that a server gives in its database's encoding."""

from __future__ import annotations

import base64
import codecs
import json
from pathlib import Path
from typing import Any

from ...doors import ahead
from ...errors import StepFailed
from ...words.text import t

# Where Python has another name than PostgreSQL (manual, 24.3.1 Supported Character Sets).
CODECS = {"KOI8R": "koi8_r", "KOI8U": "koi8_u", "SQL_ASCII": "utf_8"}


def shown(name: bytes, encoding: str) -> str:
    """A name for people; bytes that are no text become question marks."""
    return name.decode(_codec(encoding), "replace")


def line(database: str, table: str, row: bytes, encoding: str) -> bytes:
    """One line. row: an object, as row_to_json gives it.

    What is no text in that encoding stays as it is: then `row_base64` has the bytes.
    """
    head = f'{{"database": {_quoted(database)}, "table": {_quoted(table)}, '
    try:
        text = row.decode(_codec(encoding)).replace("\n", " ").replace("\r", " ")  # between values
    except UnicodeDecodeError:
        raw = base64.b64encode(row).decode()
        text = f'"encoding": {_quoted(encoding)}, "row_base64": "{raw}"}}\n'
        return (head + text).encode()
    return f'{head}"row": {text}}}\n'.encode()


@ahead.measured
def rows(kept: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table in a file of such lines; raises `StepFailed` where there is none."""
    if not kept.exists():
        cause = t("{file} does not exist: no rows were kept.", file=kept)
        raise StepFailed(cause, remedy=t("first execute the cell with `volta.diverged()`"))
    found = map(json.loads, kept.read_text("utf-8").splitlines())
    return [each["row"] for each in found if each["table"] == table and "row" in each]


def _codec(encoding: str) -> str:
    name = CODECS.get(encoding, encoding.replace("WIN", "cp"))
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "ascii"  # all of PostgreSQL's have it as their part


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
