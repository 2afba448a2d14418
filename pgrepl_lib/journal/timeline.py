"""When each step and check of a journal happened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from ..words.language import decimal
from ..words.text import t
from . import records
from .audit import said
from .runs import Chapter, Run

# How the bar of a chapter looks that did not complete.
ENDED = {"failed": "failed", "interrupted": "interrupted", "killed": "interrupted"}


@dataclass(frozen=True)
class Bar:
    """What took time: its title, how it ended, seconds from the run's begin to its own, seconds."""

    title: str
    outcome: str
    start: float
    seconds: float

    @property
    def end(self) -> float:
        """Seconds since the run began."""
        return self.start + self.seconds


def moment(text: Any) -> datetime | None:
    """A time out of a journal; None for what is none, or has no time in every zone."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo and 1 < found.year < 9999 else None


def length(seconds: float) -> str:
    """A number of seconds: "< 0.01 s", "0.35 s", "12.4 s", "2 min 5 s"."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 0.005:
        return decimal("< 0.01 s")
    if seconds < 59.95:
        text = f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"
        return decimal(text.removesuffix(".00").removesuffix(".0")) + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        rest = 0
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def set_back(run: Run) -> bool:
    """Whether the machine's clock was changed meanwhile: times go backwards, or one is none."""
    times = [moment(e.get("time")) for e in run.entries]
    known = [each for each in times if each]
    return len(known) < len(times) or any(after < before for before, after in pairwise(known))


def bars(run: Run) -> dict[str, list[Bar]]:
    """Each chapter's steps and checks; checks in a row are one bar.

    Times that go backwards are not used: then each bar begins where the one before it ends.
    """
    trusted, clock = not set_back(run), 0.0
    found: dict[str, list[Bar]] = {}
    for chapter in run.chapters:
        made: list[Bar] = []
        together = 0  # how many checks the last bar stands for
        for entry in (e for e in chapter.entries if e["kind"] in ("step", "check")):
            bar = _bar(run, entry, clock, trusted)
            clock = max(clock, bar.end)
            together = together + 1 if bar.outcome == "passed" else 0
            if together > 1:
                start, title = made.pop().start, t("{count} checks", count=together)
                bar = replace(bar, start=start, seconds=bar.end - start, title=title)
            made.append(bar)
        found[chapter.name] = made
    return found


def spans(run: Run, made: dict[str, list[Bar]]) -> list[Bar]:
    """Each chapter that began as one bar."""
    trusted = not set_back(run)
    found = []
    for chapter in run.chapters:
        times = sorted(_reach(run, chapter, made[chapter.name], trusted))
        if times:
            outcome = ENDED.get(chapter.status, "changed")
            found.append(Bar(chapter.name, outcome, times[0], times[-1] - times[0]))
    return found


def _reach(run: Run, chapter: Chapter, own: list[Bar], trusted: bool) -> Iterator[float]:
    """From a chapter's first line to its last, else what its own bars reach over."""
    began, ended = moment(chapter.began), moment(chapter.ended)
    if trusted and began and ended:
        yield from (_since(run, began), _since(run, ended))
    else:
        yield from (time for bar in own for time in (bar.start, bar.end))


def _bar(run: Run, entry: dict[str, Any], clock: float, trusted: bool) -> Bar:
    """seconds: a step's own, by a clock that is never set; the line's time is that of its end."""
    seconds = records.seconds(entry)
    outcome = str(entry.get("outcome") or records.check_verdict(entry))
    ended = moment(entry.get("time"))
    start = max(0.0, _since(run, ended) - seconds) if trusted and ended else clock
    return Bar(said(entry, "title"), outcome, start, seconds)


def _since(run: Run, when: datetime) -> float:
    begun = moment(run.entries[0].get("time"))
    return (when - begun).total_seconds() if begun else 0.0
