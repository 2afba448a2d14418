"""The report of a run: one HTML page that needs nothing else, made from the run's journal alone.

Made again it is the same, byte for byte: it says nothing of the moment or the machine that it is
made on. Of this checkout it uses only the template, the catalogues and the chapters' callouts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..doors.files import write_atomic
from ..errors import ParameterError
from ..journal import timeline
from ..journal.runs import Chapter, Run
from ..params import Params
from ..words.commands import addressed
from ..words.language import speaking, spoken
from ..words.text import t
from . import corrections, pictures, replay, template, verdict
from .signing.statements import STATEMENT

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

FILE = "report.html"


def write(run: Run, output: Path | None = None, language: str = "") -> Path:
    """Write the report, as `report.html` into the run's folder unless `output` says otherwise.

    Returns where. language: unless the one that the run was signed with. Raises `ParameterError`
    where that would change or add a file in a folder that is signed; one that is gone may come
    back.
    """
    target, html = output or run.folder / FILE, page(run, language)
    signed = (run.folder / STATEMENT).exists()
    inside = target.resolve().is_relative_to(run.folder.resolve())
    as_it_was = target == run.folder / FILE
    if target.exists():
        as_it_was = target.read_bytes() == html.encode()
    if signed and inside and not as_it_was:
        raise ParameterError(
            t("The run's folder is signed, and this would change it; nothing was written."),
            looked_at=[str(target), str(run.folder / STATEMENT)],
            remedy=t("write it somewhere else, with: --output FILE"),
        )
    write_atomic(target, html)
    return target


def page(run: Run, language: str = "") -> str:
    """The report as HTML, in this language or the one that the run was signed with."""
    with speaking(language or run.language):
        return template_of_page().render(_facts(run))


def template_of_page() -> Template:
    """The report's template; Jinja compiles it once."""
    return template.environment().get_template(f"{FILE}.j2")


def _facts(run: Run) -> dict[str, Any]:
    """What the template shows."""
    made = timeline.bars(run)
    chapters = _sections(run, made)
    return {
        "lang": spoken()[:2],
        "run": run,
        "opening": run.opening,
        "engine": run.first("engine"),
        "verdict": verdict.of(run),
        "chapters": chapters,
        "stopped": _stopped(run, chapters),
        "instances": pictures.instances(run),
        "built": bool(pictures.left(run)),
        "topology": pictures.cluster(run),
        "overview": pictures.times(timeline.spans(run, made), t("chapters")),
        "durations": made,
        "clock_set_back": timeline.set_back(run),
        "times": _times(run),
        "corrections": _corrections(chapters),
        "broken": run.journal.first_broken_line(),
        "outcomes": verdict.outcomes(run),
        "no_replay": replay.absent(run) if run.opening else "",
        "run_again": _run_again(run),
    }


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
        """The executed notebook as HTML; empty where there is none, or the name is not one."""
        ended = self.chapter.status in ("completed", "failed", "interrupted")
        named = re.fullmatch(r"[\w-]+", self.chapter.name)
        return f"{self.chapter.name}.html" if ended and named else ""


def _sections(run: Run, bars: dict[str, list[timeline.Bar]]) -> list[_Section]:
    numbers = count(1)
    return [
        _Section(c, [(next(numbers), e) for e in c.entries], pictures.times(bars[c.name], c.name))
        for c in run.chapters
    ]


def _corrections(chapters: list[_Section]) -> list[tuple[corrections.Correction, str]]:
    """Those that the chapters made, each with its executed notebook."""
    made = [(c, section.link) for section in chapters for c in corrections.made_by(section.chapter)]
    return sorted(made)


def _stopped(run: Run, chapters: list[_Section]) -> dict[str, Any]:
    """Where and by what a run was stopped: chapter, number of the step or check, its line."""
    chapter = verdict.stopped_chapter(run)
    section = next((s for s in chapters if s.chapter is chapter), None)
    if not section or run.status == "running":
        return {}
    line = section.chapter.stopped_by()
    number = next((n for n, e in section.items if e is line), None)
    return {"section": section, "line": line, "number": number}


def _times(run: Run) -> dict[str, Any]:
    """When it began and ended, in UTC and in the local time of then, and how long it took."""
    began = ended = None
    if run.entries:
        began, ended = (timeline.moment(e.get("time")) for e in (run.entries[0], run.entries[-1]))
    local = timeline.moment(run.opening.get("local_time"))
    zone = local and local.utcoffset() and local.tzinfo  # in UTC, it would be said twice
    took = (ended - began).total_seconds() if began and ended else -1.0
    return {"began": began, "ended": ended, "zone": zone, "took": took}
