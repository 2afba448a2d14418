"""What a rejoin throws away, and where that is kept, in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .legible import in_a_line
from .text import Text, joined, t

Rows = Iterable[Mapping[str, Any]]  # each table's rows: database, table, rows


def not_compared(name: str) -> Text:
    """Before the rows of a former primary are compared: what is not."""
    return t(
        "sequences and unlogged tables of {name} are not compared: what only they have goes",
        name=name,
    )


def tables(kept: Rows) -> list[str]:
    """A line for each table."""
    names = [{key: in_a_line(str(value)) for key, value in each.items()} for each in kept]
    return [t("database {database}, table {table}: {rows} rows", **each) for each in names]


def to_be_thrown_away(name: str, kept: Rows, file: Path) -> list[str]:
    """Before it is done."""
    lines = tables(kept)
    if lines:
        told = t(
            "only {name} has them: they are kept in {file}, then thrown away", name=name, file=file
        )
        lines.append(told)
    return lines


def thrown_away(name: str, kept: Rows, file: Path, data: Path) -> Text:
    """Afterwards. data: the whole data folder's file, where there is one."""
    lines = [t("{name} is a replica", name=name), *tables(kept)]
    if len(lines) > 1:
        lines.append(t("thrown away, and kept in {file}", file=file))
    if data.exists():
        size, remove = data.stat().st_size / 1e9, f"rm {shlex.quote(str(data))}"
        there = t(
            "its data folder ({size:.2f} GB) is kept; to remove it: {remove}",
            size=size,
            remove=remove,
        )
        lines.append(there)
    return joined("\n", lines)


def facts(found: Any, file: Path, data: Path) -> dict[str, Any]:
    """The same for programs. found: what there was, as `own_rows.Found`."""
    places = {"kept": file, "kept_data": data}
    there = {key: path if path.exists() else None for key, path in places.items()}
    more = {"not_kept": found.lacking, "also_thrown_away": found.told}
    return {"thrown_away": found.kept, **there, **more}
