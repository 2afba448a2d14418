"""The leader's page: participants and exercises as a table, and each one's last steps."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ..doors import files
from ..evidence.template import filled
from ..exercises.chapters.all import ALL
from .progress import Row, chapter_of, end_of

ROOM = Path(__file__).parent / "templates/room.html.j2"
AGAIN = ROOM.with_name("again.js")  # loads a file again
SCRIPT = ROOM.with_name("room.js")  # renews a page that a server gives
SIGNS = {"new": "·", "trying": "…", "stuck": "!", "right": "✔", "solved": "○"}


def page(title: str, rows: Sequence[Row], *, again: int = 0, served: bool = False) -> str:
    """The page as HTML. again: seconds after which the browser asks for it again; 0 for never.

    served: whether by a server, that has `SCRIPT` beside it; a file has another in it, and its
    reader may pause that. What is open stays open.
    """
    from markupsafe import Markup

    chapter, now = chapter_of(rows), datetime.now(UTC)
    inline = AGAIN.read_text("utf-8") if again and not served else ""
    words = {
        "title": title,
        "rows": rows,
        "exercises": list(ALL.values()),
        "chapter": chapter,
        "end": _clock(end_of(chapter, rows)),
        "now": _clock(now),
        "again": again,
        "script": SCRIPT.name if served else "",
        "signs": SIGNS,
        "inline": Markup(inline),
        "digest": b64encode(sha256(inline.encode()).digest()).decode(),
    }
    return filled(ROOM, **words)


def write(file: Path, title: str, rows: Sequence[Row], *, again: int = 0) -> None:
    """Write the page, for its owner alone."""
    files.write_atomic(file, page(title, rows, again=again), 0o600)


def _clock(moment: datetime | None) -> str:
    """In this machine's zone; empty for none."""
    return f"{moment.astimezone():%H:%M}" if moment else ""
