"""The corrections of the document that chapters make, each told in a callout at its place."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

from ..doors.resources import NOTEBOOKS
from ..journal.runs import Chapter
from ..words.text import mark, t

CALLOUT = re.compile(r"^> \*\*Correção (\d+)\.\*\* ", re.M)
# What is wrong and what is done instead (Markdown). In Portuguese both are the chapters' own words.
TOLD = {
    1: (
        mark(
            "The document's first command fails: the official image refuses to start without a "
            "superuser's password."
        ),
        mark("a password in a protected file, without `--rm`"),
    ),
    2: (
        mark(
            "The document copies the files at once, and is sometimes too early: `postgresql.conf` "
            "exists only when `initdb` ends, and `pg_hba.conf` is complete only later."
        ),
        mark("waits until the server accepts connections"),
    ),
    3: (
        mark(
            "The document writes `postgresql.cong`, and `chmod` answers that there is no such file."
        ),
        mark("`.conf`"),
    ),
    4: (
        mark(
            "`--write-recovery-conf` also writes `primary_conninfo` to `postgresql.auto.conf`, and "
            "that file **prevails** over `postgresql.conf`."
        ),
        mark("one owner of the configuration"),
    ),
    5: (
        mark(
            "Worse where `pg_basebackup` is of version 16 or newer and the server is 14: it does "
            "not know some of the options written, and streaming does not even begin."
        ),
        mark("as 4"),
    ),
    6: (
        mark(
            "Without the second argument, the slot keeps WAL only once the replica connects for "
            "the first time."
        ),
        mark("reserves at once, and the backup uses the slot"),
    ),
    7: (
        mark(
            "The document asks to comment the line `command` out, and later to put it back again."
        ),
        mark("whole folders are mounted"),
    ),
    8: (
        mark("The copied files are those that `initdb` has made, **without** the primary's edits."),
        mark("the same entries and the same rule"),
    ),
    9: (
        mark(
            "With `trust`, who connects from that network as `repl` needs no password, and the "
            "machine that runs Docker has an address in it: **every user of that machine can copy "
            "the whole database** (with the engine `local`, too)."
        ),
        mark("SCRAM as a parameter; ports only on 127.0.0.1"),
    ),
    10: (
        mark(
            "The document ends at the edited file: the replica is never started, and nothing shows "
            "that anything replicates."
        ),
        mark("started and verified"),
    ),
    11: (
        mark("The document mixes `docker-compose` and `docker compose`."),
        mark("uses and shows what there is"),
    ),
    12: (
        mark(
            "The document uses PostgreSQL 14, whose last release was planned for **12 November "
            "2026**."
        ),
        mark("the version is a parameter, from 14 to 18"),
    ),
    13: (
        mark("The document ends at a replica that never changes its role."),
        mark("`wal_log_hints`, `wal_retrieve_retry_interval`"),
    ),
}


@dataclass(frozen=True)
class Correction:
    """A correction: number, what is wrong, what is done instead (Markdown), chapter and cell."""

    number: int
    wrong: str
    done: str
    chapter: str
    cell: str


def made_by(chapter: Chapter) -> list[Correction]:
    """Those that this chapter made.

    All of them, or where it did not come to its end those before its last step or check.
    """
    told, places = _told(chapter.name)
    reached = max((places.get(str(e.get("cell")), -1) for e in chapter.entries), default=-1)
    return [
        Correction(number, t(TOLD[number][0]), t(TOLD[number][1]), chapter.name, cell)
        for number, cell in told
        if chapter.status == "completed" or places[cell] <= reached
    ]


@cache
def _told(chapter: str) -> tuple[list[tuple[int, str]], dict[str, int]]:
    """The callouts of a chapter as it is shipped, by number and cell; each cell's place."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    if not re.fullmatch(r"[\w-]+", chapter) or not path.exists():
        return [], {}
    cells = json.loads(path.read_text("utf-8"))["cells"]
    found = [
        (int(number), cell["id"])
        for cell in cells
        if cell["cell_type"] == "markdown"
        for number in CALLOUT.findall("".join(cell["source"]))
    ]
    return found, {cell["id"]: place for place, cell in enumerate(cells)}
