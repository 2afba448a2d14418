"""How the report's template says things: its texts, and values out of a journal."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..journal import timeline
from ..journal.audit import said
from ..words import language, text
from ..words.legible import legible
from ..words.text import mark, t

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
LINES = {"+++": "file", "---": "file", "@@ ": "place"}  # of a diff, by how they begin
CHANGES = {"+": "added", "-": "removed"}
# Of every line of a journal: what is told otherwise, or not at all.
COMMON = ("time", "kind", "previous", "chapter", "cell", "name", "said")


@cache
def environment() -> Environment:
    """Jinja with these filters; everything that it puts into a page is made legible and escaped."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_legible,
    )
    made.filters |= {
        "length": timeline.length,
        "when": when,
        "plain": _plain,
        "prose": _prose,
        "words": _words,
        "lines": _lines,
        "facts": _facts,
    }
    made.globals |= {"t": _said, "counted": _counted, "mark": mark, "said": said}
    return made


@cache
def unescaped() -> Environment:
    """Jinja for a script or Markdown, where nothing is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["quote"] = shlex.quote
    made.globals["t"] = t
    return made


def filled(template: Path, **words: Any) -> str:
    """A page other than the report: its texts by `t`, everything in it made legible and escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_legible,
    )
    made.globals |= {"t": t, "language": language.spoken().replace("_", "-")}
    return made.get_template(template.name).render(words)


def _legible(value: Any) -> Any:
    from markupsafe import Markup

    return value if isinstance(value, Markup) else legible(str(value))


def _said(message: str, /, **values: Any) -> Markup:
    """A sentence with Markdown's code and bold; its values are escaped, unless they are Markup."""
    return _prose(t(message)).format(**{name: _legible(value) for name, value in values.items()})


def _counted(count: int, one: str, many: str, **values: Any) -> Markup:
    return _prose(text.counted(count, one, many, **values))


def when(moment: datetime, zone: Any = UTC) -> str:
    """A time, in UTC or in the zone that was local to the run."""
    there = moment.astimezone(zone)
    day = there.strftime(t("%Y-%m-%d, %H:%M:%S"))
    if zone is UTC:
        return f"{day} (UTC)"
    offset = there.utcoffset() or timedelta()
    hours, minutes = divmod(abs(int(offset.total_seconds())) // 60, 60)
    sign = "−" if offset < timedelta() else "+"
    local = t("local time, UTC{offset}", offset=f"{sign}{hours:02}:{minutes:02}")
    return f"{day} ({local})"


def _plain(value: Any) -> str:
    """A value out of JSON as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _facts(entry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a line of the journal tells besides what all lines do."""
    for name, value in entry.items():
        if name not in COMMON:
            yield name, said(entry, name) if isinstance(value, str) else value


def _prose(markdown: str) -> Markup:
    """A sentence of Markdown: code and bold."""
    from markupsafe import Markup, escape

    html = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(legible(str(markdown)))))
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", html))


def _words(command: str) -> Markup:
    """A command whose words a browser breaks where it must, and not after each hyphen."""
    from markupsafe import Markup, escape

    html = str(escape(legible(str(command))))
    return Markup(re.sub(r"\S*-\S*", r'<span class="w">\g<0></span>', html))


def _lines(diff: str) -> Iterator[tuple[str, str]]:
    """The lines of a diff, each with what it is."""
    for line in str(diff).rstrip("\n").split("\n"):
        yield LINES.get(line[:3]) or CHANGES.get(line[:1], "same"), line
