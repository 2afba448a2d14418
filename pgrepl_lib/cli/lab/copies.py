"""A user's own copies of the chapters, without outputs: what they show was done there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...doors import files
from ...doors.resources import NOTEBOOKS

RECORD = ".handed-out.json"  # in the copies' folder: the digest of each as it was handed out


def renew(folder: Path, values: Mapping[str, Any]) -> dict[str, str]:
    """Hand out the chapters with these values as parameters; copies of the same stay as they are.

    Of copies that somebody has changed or executed, and whose chapter is another by now: the names
    that they have from now on.
    """
    handed, moved = _handed(folder), dict[str, str]()
    for name, content in _chapters(values):
        path, digest = folder / name, _digest(content)
        if path.exists() and handed.get(name) == digest:
            continue
        if path.exists() and _digest(path.read_bytes()) not in (handed.get(name), digest):
            moved[name] = _moved(path)
        files.write_atomic(path, content)
        handed[name] = digest
    files.write_atomic(folder / RECORD, json.dumps(handed, indent=2) + "\n")
    return moved


def _chapters(values: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The files to hand out: the chapters, the exercises, and the index that they lead to."""
    for path in sorted(NOTEBOOKS.glob("**/[0-9]*.ipynb")):
        yield str(path.relative_to(NOTEBOOKS)), _copy(json.loads(path.read_text("utf-8")), values)
    index = NOTEBOOKS / "README.md"
    yield index.name, index.read_bytes()


def _copy(chapter: dict[str, Any], values: Mapping[str, Any]) -> bytes:
    """A chapter as its reader begins: nothing executed, and these parameters."""
    for cell in chapter["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = [_line(line, values) for line in cell["source"]]
    return (json.dumps(chapter, indent=1, ensure_ascii=False) + "\n").encode()


def _line(line: str, values: Mapping[str, Any]) -> str:
    """A line of the cell of parameters, with its value among these, if there is one."""
    name = line.partition(" = ")[0]
    if name not in values:
        return line
    meaning = line.partition("  # ")[2]
    return f"{name} = {json.dumps(values[name], ensure_ascii=False)}  # {meaning}"


def _handed(folder: Path) -> dict[str, str]:
    with suppress(OSError, TypeError, ValueError):
        return dict(json.loads(files.text(folder / RECORD) or "{}"))
    return {}  # then all that differs is somebody's


def _moved(path: Path) -> str:
    """Give a changed copy another name, which nothing has yet."""
    number, target = 1, path.with_stem(f"{path.stem}.anterior")
    while target.exists():
        number += 1
        target = path.with_stem(f"{path.stem}.anterior-{number}")
    files.move(path, target)
    return target.name


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
