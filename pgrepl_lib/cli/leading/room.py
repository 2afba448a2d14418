"""`pgrepl class status` and `pgrepl class collect`: participants and exercises at a glance."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from ...doors import terminal
from ...errors import ParameterError
from ...words.text import mark, t
from ..classroom.commands import NAME, classroom
from ..group import EPILOG, option
from ..options import FILE, JSON
from ..output import give, print_table

EMPTY = mark("{folder} holds no participant's folder.")
LAYOUT = mark(
    "give each participant a folder in it, named after him, with the journal.jsonl of his "
    "cluster's folder: {example}"
)


def how_shown(command: Callable[..., None]) -> Callable[..., None]:
    """The options of both."""

    @option("--stuck", default=15.0, show_default=True, help="Minutes until one counts as stuck.")
    @option("--page", type=FILE, help="As one HTML page, instead of a table.")
    @option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
    @option("--interval", default=3.0, show_default=True, help="Seconds between two looks.")
    @JSON
    @wraps(command)
    def with_options(**given: Any) -> None:
        command(**given)

    return with_options


@classroom.command(epilog=EPILOG)
@NAME
@how_shown
def status(name: str, **how: Any) -> None:
    """Who is how far with the exercises, who is stuck, and when most will be done."""
    _show(t("Class {name}", name=name), _of_class(name), **how)


@classroom.command(epilog=EPILOG)
@click.argument("folder", type=FILE)
@how_shown
def collect(folder: Path, **how: Any) -> None:
    """The same of a class without a common machine, from the journals in FOLDER/PARTICIPANT."""
    _show(folder.name, _collected(folder), **how)


@classroom.command(epilog=EPILOG)
@click.argument("source", metavar="NAME|FOLDER")
@option("--out", type=FILE, default=Path("completions"), show_default=True, help="Where to.")
@option("--key", type=FILE, help="Sign with this Ed25519 key (PEM). [default: your own]")
@JSON
def certify(source: str, out: Path, key: Path | None, as_json: bool) -> None:
    """Sign for each participant which exercises are done: of the class NAME, or of the journals in
    FOLDER/PARTICIPANT."""
    from ...evidence.signing import keys
    from ...leading import completion

    folders = _collected(Path(source)) if Path(source).is_dir() else _of_class(source)
    written = completion.certify(folders, out, keys.signer(key))
    give(as_json, {"written": [str(file) for file in written]}, "\n".join(map(str, written)))


def _of_class(name: str) -> dict[str, Path]:
    """The folders of the participants' projects, by their names; for root alone."""
    from ...classroom import making, roster

    making.require_root()
    made: roster.Class = roster.existing(name)
    return made.projects


def _collected(folder: Path) -> dict[str, Path]:
    """The folders with a journal in this one, by their names; raises `ParameterError` for none."""
    if found := sorted(folder.glob("*/journal.jsonl")):
        return {each.parent.name: each.parent for each in found}
    remedy = t(LAYOUT, example=folder / "ana" / "journal.jsonl")
    raise ParameterError(t(EMPTY, folder=folder), remedy=remedy)


def _show(
    title: str, folders: Mapping[str, Path], *, watch: bool, interval: float, **how: Any
) -> None:
    from ...doors.wait import repeat

    every = max(1.0, interval)
    again = round(every) if watch else 0
    once = partial(_once, title, folders, again=again, **how)
    once()
    if how["page"]:
        terminal.tell(t("written: {file}", file=how["page"]))
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            repeat(once, every=every)


def _once(
    title: str,
    folders: Mapping[str, Path],
    *,
    stuck: float,
    page: Path | None,
    as_json: bool,
    again: int,
) -> None:
    """again: seconds after which it is done again; 0 for never."""
    from ...leading import pages, progress

    rows = progress.look(folders, stuck)
    if page:
        pages.write(page, title, rows, again=again)
    elif as_json:
        give(True, [row.plain() for row in rows], "")
    else:
        if again:
            click.clear()
        _print(title, rows)


def _print(title: str, rows: list[Any]) -> None:
    from ...exercises.chapters.all import ALL
    from ...leading import pages, progress

    terminal.give(title)
    chapter = progress.chapter_of(rows)
    shown = [name for name, each in ALL.items() if each.chapter == chapter] or list(ALL)
    print_table([_line(row, shown, pages.SIGNS) for row in rows])
    if end := progress.end_of(chapter, rows):
        words = {"chapter": chapter, "time": f"{end.astimezone():%H:%M}"}
        terminal.give(t("chapter {chapter}: most will be done by {time}", **words))


def _line(row: Any, shown: list[str], signs: Mapping[str, str]) -> dict[str, Any]:
    """A participant, with the exercises of the chapter that most are at."""
    cells = {
        c.exercise: f"{signs[c.state]} {_minutes(c)}" for c in row.cells if c.exercise in shown
    }
    right = sum(c.state == "right" for c in row.cells)
    return {"name": row.name, **cells, "right": right, "error": row.error[:60]}


def _minutes(cell: Any) -> str:
    return "" if cell.minutes is None else f"{cell.minutes:.0f}"
