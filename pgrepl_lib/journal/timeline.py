"""When each step and check of a journal happened: as data, and as bars over an axis of seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from itertools import pairwise
from typing import Any

from ..words.language import decimal
from ..words.legible import legible
from ..words.text import t
from .audit import said
from .records import check_verdict
from .runs import Chapter, Run

# Beside a bar's title, since not everybody tells its colour.
SIGNS = {"failed": "✘ ", "interrupted": "■ ", "passed": "✔ ", "not tried": "○ "}
COLOURS = ("changed", "unchanged", "failed", "interrupted", "passed")
# How the bar of a chapter looks that did not complete.
ENDED = {"failed": "failed", "interrupted": "interrupted", "killed": "interrupted"}
HEAD = 26  # pixels of the axis
NARROWEST = 2.0  # pixels of a bar
CHARACTER = 7.0  # pixels of one, on average, with room to spare


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


@dataclass(frozen=True)
class Layout:
    """Where things stand, in pixels.

    The picture's width; the bars' left and right; a row's height, and in it the labels' base line,
    the bar's top and height; the room for a title.
    """

    width: int
    left: int
    right: int
    row: int
    base: int
    top: int
    high: int
    room: int


BESIDE = Layout(width=820, left=340, right=746, row=24, base=16, top=5, high=14, room=328)
ABOVE = Layout(width=340, left=0, right=340, row=38, base=14, top=21, high=10, room=266)


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
    given, seconds = entry.get("seconds"), 0.0
    if isinstance(given, (int, float)) and math.isfinite(given):
        seconds = max(0.0, float(given))
    outcome = str(entry.get("outcome") or check_verdict(entry))
    ended = moment(entry.get("time"))
    start = max(0.0, _since(run, ended) - seconds) if trusted and ended else clock
    return Bar(said(entry, "title"), outcome, start, seconds)


def _since(run: Run, when: datetime) -> float:
    begun = moment(run.entries[0].get("time"))
    return (when - begun).total_seconds() if begun else 0.0


def draw(given: Sequence[Bar], *, alt: str, wide: bool) -> str:
    """The bars as an SVG, 820 (wide) or 340 pixels wide."""
    layout = BESIDE if wide else ABOVE
    first, last = min(b.start for b in given), max(b.end for b in given)
    pixels = (layout.right - layout.left) / max(last - first, 0.001)
    height = HEAD + layout.row * len(given) + 4
    parts = [
        _tick(layout.left + (seconds - first) * pixels, label, height)
        for seconds, label in _ticks(first, last)
    ]
    for number, bar in enumerate(given):
        size = max(NARROWEST, bar.seconds * pixels)
        x = min(layout.left + (bar.start - first) * pixels, layout.right - size)
        parts.append(_row(bar, x, HEAD + layout.row * number, size, layout))
    alt = _safe(alt)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="timeline" '
        f'viewBox="0 0 {layout.width} {height}" role="img" aria-label="{alt}">'
        f"<title>{alt}</title>{''.join(parts)}</svg>"
    )


def _row(bar: Bar, x: float, y: int, size: float, layout: Layout) -> str:
    base, took = y + layout.base, length(bar.seconds)
    label = _cut(SIGNS.get(bar.outcome, "") + bar.title, layout.room)
    return (
        f'<g><title>{_safe(bar.title)}: {took}</title><text x="0" y="{base}">{_safe(label)}</text>'
        f'<rect class="{_colour(bar)}" x="{x:.1f}" y="{y + layout.top}" '
        f'width="{size:.1f}" height="{layout.high}" rx="2"/>'
        f'<text class="number" x="{layout.width}" y="{base}" text-anchor="end">{took}</text></g>'
    )


def _colour(bar: Bar) -> str:
    if bar.outcome == "not tried":
        return "unchanged"
    return bar.outcome if bar.outcome in COLOURS else "changed"


def _tick(x: float, label: str, height: int) -> str:
    anchor = "start" if x < 40 else "middle"
    return (
        f'<path class="grid" d="M{x:.1f} {HEAD - 6}V{height}"/>'
        f'<text class="number" x="{x:.1f}" y="12" text-anchor="{anchor}">{label}</text>'
    )


def _ticks(first: float, last: float) -> list[tuple[float, str]]:
    """One to five round numbers of seconds within an interval, each as number and text."""
    extent = max(last - first, 0.001)
    step, decimals = next(
        (m * 10.0**e, max(0, -e))
        for e in range(-4, 400)
        for m in (1, 2, 5)
        if extent / (m * 10.0**e) <= 5.5
    )
    begin = math.ceil(first / step)
    found = [n * step for n in range(begin, begin + 7) if n * step <= last]
    return [(seconds, decimal(f"{seconds:.{decimals}f}") + " s") for seconds in found]


def _cut(text: str, pixels: float) -> str:
    most = int(pixels / CHARACTER)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _safe(text: str) -> str:
    return escape(legible(text))
