"""The report of a run: one HTML page that needs nothing else, made from the run's journal alone.

Made again it is the same, byte for byte: it says nothing of the moment or the machine that it is made on. Of this
checkout it uses only the template and the chapters' callouts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cluster import topology
from ..doors.files import write_atomic
from ..errors import ParameterError
from ..journal import timeline
from ..journal.runs import Chapter, Run
from ..params import MAX_REPLICAS, Params
from ..words import picture
from ..words.commands import addressed
from ..words.language import speaking
from ..words.legible import legible
from . import corrections, replay, verdict
from .signing.statements import STATEMENT

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FILE = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
BARS = 40  # at most in one picture, so that it fits a printed page


def write(run: Run, output: Path | None = None) -> Path:
    """Write the report, as `report.html` into the run's folder unless `output` says otherwise; returns where.

    Raises `ParameterError` where that would change or add a file in a folder that is signed; one that is gone may come back.
    """
    target, text = output or run.folder / FILE, page(run)
    sealed = (run.folder / STATEMENT).exists() and target.resolve().is_relative_to(
        run.folder.resolve()
    )
    same = target.read_bytes() == text.encode() if target.exists() else target == run.folder / FILE
    if sealed and not same:
        raise ParameterError(
            "The run's folder is signed, and this would change it; nothing was written.",
            looked_at=[str(target), str(run.folder / STATEMENT)],
            remedy="write it somewhere else, with: --output FILE",
        )
    write_atomic(target, text)
    return target


def page(run: Run) -> str:
    """The report as HTML, in the language that the run says."""
    with speaking(run.language):
        return _page(run)


def _page(run: Run) -> str:
    made = timeline.bars(run)
    numbers = iter(range(1, 1_000_000))
    chapters = [
        _Section(c, [(next(numbers), e) for e in c.entries], timeline_of(made[c.name], c.name))
        for c in run.chapters
    ]
    spans = timeline.spans(run, made)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            opening=run.opening,
            engine=run.first("engine"),
            verdict=verdict.of(run),
            chapters=chapters,
            stopped=_stopped(run, chapters),
            instances=instances(run),
            built=bool(_left(run)),
            topology=_topology(run),
            overview=timeline_of(spans, "capítulos"),
            durations=made,
            clock_set_back=timeline.set_back(run),
            times=_times(run),
            corrections=sorted(
                ((c, s.link) for s in chapters for c in corrections.made_by(s.chapter)),
                key=lambda c: c[0].number,
            ),
            broken=run.journal.first_broken_line(),
            outcomes=verdict.outcomes(run),
            no_replay=replay.absent(run) if run.opening else "",
            run_again=_run_again(run),
        )
    )


def _run_again(run: Run) -> str:
    """The command that goes on, on the machine of the run."""
    command = "pgrepl run"
    try:
        return addressed(command, Params.parse(run.opening.get("params", {})), anywhere=True)
    except ParameterError:  # a journal may say anything
        return command


@dataclass(frozen=True)
class _Section:
    """A chapter with its numbered lines and its pictures."""

    chapter: Chapter
    items: list[tuple[int, dict[str, Any]]]
    pictures: list[tuple[Markup, Markup]]

    def of(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        """Its lines of one kind, with their numbers."""
        return [(n, e) for n, e in self.items if e["kind"] == kind]

    @property
    def link(self) -> str:
        """The executed notebook as HTML; empty where there is none, or where the name is not one."""
        ended = self.chapter.status in ("completed", "failed", "interrupted")
        return (
            f"{self.chapter.name}.html"
            if ended and re.fullmatch(r"[\w-]+", self.chapter.name)
            else ""
        )


def instances(run: Run) -> list[dict[str, Any]]:
    """The instances as the run left them or, where it did not come to that, as they were wanted."""
    if left := _left(run):
        return [_instance(name, **facts) for name, facts in left.items()]
    ports = run.first("engine").get("port") or {}
    wanted = run.opening.get("params", {}).get("replicas")
    count = min(wanted, MAX_REPLICAS) if isinstance(wanted, int) else 0
    names = list(ports) or [topology.name_of(n) for n in range(count + 1) if run.opening]
    return [
        _instance(
            n, role="replica" if i else "primary", upstream=names[0] if i else "", port=ports.get(n)
        )
        for i, n in enumerate(names)
    ]


def _left(run: Run) -> dict[str, dict[str, Any]]:
    """The instances as the run left them; empty where it did not come to that, or removed them."""
    return next((e.get("instances") or {} for e in reversed(run.of("state"))), {})


def _instance(name: str, /, **facts: Any) -> dict[str, Any]:
    role = facts.get("role") if facts.get("role") in picture.FILLS else "fenced"
    known = {
        "name": name,
        "role": role,
        "upstream": facts.get("upstream") or "",
        "port": facts.get("port"),
        "running": facts.get("running", True),
    }
    with suppress(ValueError):  # a name that is none of ours has neither
        if role == "replica":
            known |= {
                "application_name": topology.application_name(name),
                "slot": topology.slot_of(name),
            }
    return known


def _topology(run: Run) -> list[Markup]:
    """The picture for a wide and for a narrow page; empty where the journal does not say what was wanted."""
    from markupsafe import Markup

    found, params = instances(run), run.opening.get("params", {})
    version = run.first("engine").get("facts", {}).get("postgres") or params.get("pg_version", "")
    lines = {
        "primary": ("escritas e leituras", f"PostgreSQL {version}"),
        "fenced": ("isolada: recusa escritas", ""),
    }
    nodes = [
        picture.Node(
            i["name"],
            i["role"],
            lines.get(i["role"], ("só leituras", i.get("application_name", "")))
            if i["running"]
            else ("parada",),
            i["upstream"],
            i.get("slot", ""),
        )
        for i in found
    ]
    sent = [
        f"{n.upstream} envia o WAL a {n.name}" + (f", pelo slot {n.slot}" if n.slot else "")
        for n in nodes
        if n.upstream
    ]
    alt = f"O cluster {params.get('project', '')}: {'; '.join(sent) or ', '.join(n.name for n in nodes)}"
    return [
        Markup(picture.draw(nodes, network="rede do cluster", alt=alt, narrow=narrow))
        for narrow in (False, True)
        if nodes
    ]


def timeline_of(bars: list[timeline.Bar], name: str) -> list[tuple[Markup, Markup]]:
    """Bars as pictures, each for a wide and for a narrow page."""
    from markupsafe import Markup

    parts = [bars[i : i + BARS] for i in range(0, len(bars), BARS)]
    alt = f"Linha do tempo, {name}: {len(bars)} barras; os mesmos números estão na tabela abaixo"
    wide, narrow = (
        [Markup(timeline.draw(p, alt=alt, wide=w)) for p in parts] for w in (True, False)
    )
    return list(zip(wide, narrow, strict=True))


def _stopped(run: Run, chapters: list[_Section]) -> dict[str, Any]:
    """Where and by what a run was stopped: the chapter, the number of the step or check, and its line."""
    chapter = verdict.stopped_chapter(run)
    section = next((s for s in chapters if s.chapter is chapter), None)
    if not section or run.status == "running":
        return {}
    line = section.chapter.stopped_by()
    return {
        "section": section,
        "line": line,
        "number": next((n for n, e in section.items if e is line), None),
    }


def _times(run: Run) -> dict[str, Any]:
    """When it began and ended, in UTC and in the local time of then, and how long it took."""
    began, ended = (
        (timeline.moment(e.get("time")) for e in (run.entries[0], run.entries[-1]))
        if run.entries
        else (None, None)
    )
    local = timeline.moment(run.opening.get("local_time"))
    took = (ended - began).total_seconds() if began and ended else -1.0
    return {"began": began, "ended": ended, "zone": local.tzinfo if local else None, "took": took}


# --- words of the reader's language --------------------------------------------------------------------------


def _when(moment: datetime, zone: Any = UTC) -> str:
    there = moment.astimezone(zone)
    offset = there.utcoffset() or timedelta()
    hours, minutes = divmod(abs(int(offset.total_seconds())) // 60, 60)
    name = (
        "UTC"
        if zone is UTC
        else f"hora local, UTC{'−' if offset < timedelta() else '+'}{hours:02}:{minutes:02}"
    )
    return f"{there:%d/%m/%Y, %H:%M:%S} ({name})"


def _plain(value: Any) -> str:
    """A value out of JSON as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _prose(markdown: str) -> Markup:
    """A sentence of Markdown: code and bold."""
    from markupsafe import Markup, escape

    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(legible(str(markdown)))))
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", text))


def _words(command: str) -> Markup:
    """A command whose words are broken only where a whole line has no room for one: not after a hyphen."""
    from markupsafe import Markup, escape

    return Markup(
        re.sub(r"\S*-\S*", r'<span class="w">\g<0></span>', str(escape(legible(str(command)))))
    )


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """The lines of a diff, each with what it is."""
    kinds = {"+++": "file", "---": "file", "@@ ": "place"}
    for line in str(text).rstrip("\n").split("\n"):
        yield kinds.get(line[:3]) or {"+": "added", "-": "removed"}.get(line[:1], "same"), line


@cache
def _environment() -> Environment:
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader
    from markupsafe import Markup

    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: v if isinstance(v, Markup) else legible(str(v)),
    )
    made.filters |= {
        "length": timeline.length,
        "when": _when,
        "plain": _plain,
        "prose": _prose,
        "words": _words,
        "lines": _lines,
    }
    return made
