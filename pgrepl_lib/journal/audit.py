"""The journal: steps and checks, appended, each line with the hash of the one before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..doors import ahead
from ..doors.files import append_line, complete_lines, last_line, make_folder
from ..words.redact import redacted
from ..words.text import again, mark, recorded, t
from . import pieces

RUN_FOLDER = "PGREPL_RUN_FOLDER"  # set by the runner for the kernel: where this run's evidence goes
RUNS = "runs"  # beside the cluster's files: what a run leaves stays when the cluster is removed
ORIGIN = "0" * 64
FILE = "journal.jsonl"
NOT_CHAINED = mark("does not carry the hash of the line before")


class Journal:
    """`journal.jsonl` of a run or, for work outside a run, of the cluster's folder.

    ending: a last line that is read as if it had been written already. in_pieces: whether it goes
    on for years, and a full file is closed and another one begun (`journal/pieces.py`).
    """

    def __init__(self, folder: Path, ending: str = "", *, in_pieces: bool = False) -> None:
        self.path, self.ending, self.in_pieces = folder / FILE, ending, in_pieces
        self.lock = self.path.with_suffix(".lock")

    @classmethod
    def of(cls, cluster_folder: Path) -> Journal:
        """The journal that work on this cluster belongs to now."""
        run = os.environ.get(RUN_FOLDER)
        return cls(Path(run)) if run else cls.of_project(cluster_folder)

    @classmethod
    def of_project(cls, cluster_folder: Path) -> Journal:
        """The one of the cluster's folder, which no run signs."""
        return cls(cluster_folder, in_pieces=True)

    def record(self, kind: str, **facts: Any) -> None:
        """Append one line: time (UTC), kind, facts without secrets, hash of the line before.

        Steps that are only planned leave nothing here.
        """
        if ahead.looking():
            return
        make_folder(self.path.parent)
        with FileLock(self.lock):
            if self.in_pieces:
                self._turn_over()
            append_line(self.path, self.line(kind, **facts))

    def _turn_over(self) -> None:
        """Close the file where it is full, and begin the next with what those before it tell."""
        pieces.close_full(self.path)
        before = pieces.closed(self.path)
        if before and not pieces.begun(self.path):
            number, last = list(before.items())[-1]
            told = pieces.runs(last)
            line = line_after(last_line(last), pieces.OPENING, number=number + 1, runs=told)
            append_line(self.path, line)

    def line(self, kind: str, **facts: Any) -> str:
        """The line that `record` would append now."""
        last = (b"", 0)
        if self.path.exists():
            last = last_line(self.path)
        return line_after(last, kind, **facts)

    def end(self) -> None:
        """Write the ending: nothing else may be recorded any more."""
        append_line(self.path, self.ending)

    def lines(self) -> Iterator[bytes]:
        """The complete lines as stored, and the ending; a pipe or a folder there holds nothing."""
        if self.path.is_file():
            yield from complete_lines(self.path)
        if self.ending:
            yield self.ending.encode()

    def entries(self) -> Iterator[dict[str, Any]]:
        """The lines, oldest first, up to one that is no record, or that a crash cut short."""
        for line in self.lines():
            if "kind" not in (entry := pieces.record(line)):
                return
            yield entry

    def sha256(self) -> str:
        """The SHA-256 of the file with the ending, in hexadecimal."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line + b"\n")
        return digest.hexdigest()

    def hashes(self) -> Iterator[str]:
        """The SHA-256 of each complete line, in hexadecimal."""
        return (hashlib.sha256(line).hexdigest() for line in self.lines())

    def tally(self) -> tuple[int, str]:
        """How many complete lines there are, and the SHA-256 of the last."""
        count, last = 0, ORIGIN
        for last in self.hashes():  # noqa: B007
            count += 1
        return count, last

    def first_broken_line(self) -> int | None:
        """The number (from 1) of the first line that does not follow from the one before.

        What comes before a piece is not looked at (`broken`).
        """
        return _follow(self.lines(), None)[0]

    def broken(self) -> Iterator[tuple[str, str, int | None]]:
        """Of a journal in pieces: each that is missing, and the first line that follows wrongly.

        Each as a file, what is wrong with it, and the line. One line is in memory at a time.
        """
        before: str | None = ORIGIN
        expected = 1
        for number, name, piece in pieces.in_order(self.path):
            if number > expected:
                missing = t("is missing, up to the piece before {piece}", piece=name)
                yield pieces.name(expected), missing, None
                before = None
            wrong, before = _follow(complete_lines(piece), before)
            if wrong:
                yield name, t(NOT_CHAINED), wrong
                return
            expected = number + 1


def line_after(last: tuple[bytes, int], kind: str, **facts: Any) -> str:
    """A line that follows the last one, which is given as `last_line` does."""
    before = ORIGIN
    if last[1]:
        before = hashlib.sha256(last[0]).hexdigest()
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "kind": kind, **facts}
    if texts := recorded(facts):
        line["said"] = texts  # what they are in any language
    return json.dumps(redacted({**line, "previous": before}), ensure_ascii=False)


def said(entry: Mapping[str, Any], name: str) -> str:
    """A text of an entry, in the language spoken now; an older version's as it was said."""
    texts, plain = entry.get("said"), str(entry.get(name, ""))
    return again(texts.get(name), plain) if isinstance(texts, dict) else plain


def _follow(lines: Iterable[bytes], before: str | None) -> tuple[int | None, str]:
    """The number of the first line whose link does not hold, or None; and the last line's hash.

    before: the hash that the first line must carry; None for any, where it begins a piece.
    """
    for number, line in enumerate(lines, 1):
        if before is None:
            before = pieces.before(line) or ORIGIN
        if pieces.record(line).get("previous") != before:
            return number, before
        before = hashlib.sha256(line).hexdigest()
    return None, before or ORIGIN
