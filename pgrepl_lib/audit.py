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

from .files import append_line, last_line, make_folder
from .redact import redacted

RUN_FOLDER = "PGREPL_RUN_FOLDER"  # set by the runner for the kernel: where this run's evidence goes
ORIGIN = "0" * 64
FILE = "journal.jsonl"


class Journal:
    """`journal.jsonl` of a run or, for work outside a run, of the cluster's folder.

    ending: a last line that is read as if it had been written already.
    """

    def __init__(self, folder: Path, ending: str = "") -> None:
        self.path, self.ending = folder / FILE, ending
        self.lock = self.path.with_suffix(".lock")

    @classmethod
    def of(cls, cluster_folder: Path) -> Journal:
        """The journal that work on this cluster belongs to now."""
        run = os.environ.get(RUN_FOLDER)
        return cls(Path(run) if run else cluster_folder)

    def record(self, kind: str, **facts: Any) -> None:
        """Append one line: time (UTC), kind, facts (secrets masked), and the hash of the line before."""
        make_folder(self.path.parent)
        with FileLock(self.lock):
            append_line(self.path, self.line(kind, **facts))

    def line(self, kind: str, **facts: Any) -> str:
        """The line that `record` would append now."""
        last, end = last_line(self.path) if self.path.exists() else (b"", 0)
        before = hashlib.sha256(last).hexdigest() if end else ORIGIN
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "kind": kind, **facts}
        return json.dumps(redacted({**line, "previous": before}), ensure_ascii=False)

    def end(self) -> None:
        """Write the ending: nothing else may be recorded any more."""
        append_line(self.path, self.ending)

    def content(self) -> bytes:
        """What the file holds, with the ending; a pipe or a folder in its place holds nothing."""
        stored = self.path.read_bytes() if self.path.is_file() else b""
        return stored + (self.ending.encode() + b"\n" if self.ending else b"")

    def entries(self) -> Iterator[dict[str, Any]]:
        """The lines, oldest first, up to one that is no record; a last line that a crash cut short is left out."""
        for line in self._lines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                return
            if not isinstance(entry, dict) or "kind" not in entry:
                return
            yield entry

    def hashes(self) -> list[str]:
        """The SHA-256 of each complete line, in hexadecimal."""
        return [hashlib.sha256(line).hexdigest() for line in self._lines()]

    def first_broken_line(self) -> int | None:
        """The number (from 1) of the first line whose link to the one before does not hold, or None."""
        before = ORIGIN
        for number, line in enumerate(self._lines(), 1):
            try:
                if json.loads(line)["previous"] != before:
                    return number
            except (ValueError, KeyError, TypeError, RecursionError):
                return number
            before = hashlib.sha256(line).hexdigest()
        return None

    def _lines(self) -> list[bytes]:
        """The complete lines as bytes: what is hashed is what is stored."""
        return self.content().split(b"\n")[:-1]
