"""What a rejoin throws away, and where that is kept, in words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Rows = Iterable[Mapping[str, Any]]  # each table's rows: database, table, rows

NOT_COMPARED = "sequences and unlogged tables of {} are not compared: what only they have goes"


def tables(kept: Rows) -> list[str]:
    """A line for each table."""
    return ["database {database}, table {table}: {rows} rows".format(**each) for each in kept]


def to_be_thrown_away(name: str, kept: Rows, file: Path) -> list[str]:
    """Before it is done."""
    lines = tables(kept)
    if lines:
        lines.append(f"only {name} has them: they are kept in {file}, then thrown away")
    return lines


def thrown_away(name: str, kept: Rows, file: Path, data: Path) -> str:
    """Afterwards. data: the whole data folder's file, where there is one."""
    lines = [f"{name} is a replica", *tables(kept)]
    if len(lines) > 1:
        lines.append(f"thrown away, and kept in {file}")
    if data.exists():
        size = data.stat().st_size / 1e9
        remove = f"rm {shlex.quote(str(data))}"
        lines.append(f"its data folder ({size:.2f} GB) is kept; to remove it: {remove}")
    return "\n".join(lines)


def facts(found: Any, file: Path, data: Path) -> dict[str, Any]:
    """The same for programs. found: what there was, as `own_rows.Found`."""
    places = {"kept": file, "kept_data": data}
    there = {key: path if path.exists() else None for key, path in places.items()}
    more = {"not_kept": found.lacking, "also_thrown_away": found.told}
    return {"thrown_away": found.kept, **there, **more}
