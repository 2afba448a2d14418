"""The journal: the append-only record of steps and checks, each line carrying the hash of the one before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from .files import append_line, make_folder
from .redact import redact

RUN_FOLDER = "PGREPL_RUN_FOLDER"  # set by the runner for the kernel: where this run's evidence goes
ORIGIN = "0" * 64


class Journal:
    """`journal.jsonl` of a run or, for work outside a run, of the cluster's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"

    @classmethod
    def of(cls, cluster_folder: Path) -> Journal:
        """The journal that work on this cluster belongs to now."""
        run = os.environ.get(RUN_FOLDER)
        return cls(Path(run) if run else cluster_folder)

    def record(self, kind: str, **facts: Any) -> None:
        """Append one line: time (UTC), kind, facts (secrets masked), and the hash of the line before."""
        make_folder(self.path.parent)
        with FileLock(self.path.with_suffix(".lock")):
            last = next(iter(_lines_from_end(self.path)), "")
            before = hashlib.sha256(last.encode()).hexdigest() if last else ORIGIN
            line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "kind": kind, **facts}
            text = json.dumps({**line, "previous": before}, ensure_ascii=False, default=str)
            append_line(self.path, redact(text))

    def entries(self) -> Iterator[dict[str, Any]]:
        """The lines, oldest first; a last line that a crash cut short is left out."""
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                return

    def first_broken_line(self) -> int | None:
        """The number (from 1) of the first line whose link to the one before does not hold, or None."""
        before = ORIGIN
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                if json.loads(line)["previous"] != before:
                    return number
            except (ValueError, KeyError, TypeError):
                return number
            before = hashlib.sha256(line.encode()).hexdigest()
        return None


def _lines_from_end(path: Path) -> Iterator[str]:
    """The last complete line, read from the end so that a long journal costs nothing."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1_048_576))
        for line in reversed(stream.read().splitlines()):
            yield line.decode(errors="replace")
