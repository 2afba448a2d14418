"""The leader's page: participants and exercises as a table, and each one's last steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..doors import files
from ..exercises.chapters.all import ALL
from ..words import language
from ..words.legible import legible
from ..words.text import t
from .progress import Row, chapter_of, end_of

TEMPLATES = Path(__file__).parent / "templates"
SIGNS = {"new": "·", "trying": "…", "stuck": "!", "right": "✔", "solved": "○"}


def page(title: str, rows: Sequence[Row], *, again: int = 0) -> str:
    """The page as HTML. again: seconds after which the browser asks for it again; 0 for never."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_legible,
    )
    made.globals |= {"t": t, "signs": SIGNS}
    chapter, now = chapter_of(rows), datetime.now(UTC)
    words = {
        "title": title,
        "rows": rows,
        "exercises": list(ALL.values()),
        "chapter": chapter,
        "end": _clock(end_of(chapter, rows)),
        "now": _clock(now),
        "again": again,
        "language": language.spoken().replace("_", "-"),
    }
    return made.get_template("room.html.j2").render(words)


def write(file: Path, title: str, rows: Sequence[Row], *, again: int = 0) -> None:
    """Write the page, for its owner alone."""
    files.write_atomic(file, page(title, rows, again=again), 0o600)


def _clock(moment: datetime | None) -> str:
    """In this machine's zone; empty for none."""
    return f"{moment.astimezone():%H:%M}" if moment else ""


def _legible(value: object) -> object:
    return legible(value) if type(value) is str else value
