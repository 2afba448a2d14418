"""When each step and check of a journal happened: as data, and as bars over an axis of seconds (for Portuguese readers)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from itertools import pairwise
from typing import Any

from ..words.legible import legible
from .runs import Run, check_verdict

SIGNS = {
    "failed": "✘ ",
    "interrupted": "■ ",
    "passed": "✔ ",
    "not tried": "○ ",
}  # not by colour alone
ROW, HEAD = 24, 26  # pixels: a bar with its label beside it; the axis
NARROW_ROW = 38  # its label above it
NARROWEST = 2.0  # pixels of a bar
CHARACTER = 7.0  # pixels of one, on average, with room to spare


@dataclass(frozen=True)
class Bar:
    """What took time: a title, how it ended, when it began (seconds since the run did), and how many seconds it took."""

    title: str
    outcome: str
    start: float
    seconds: float

    @property
    def end(self) -> float:
        """Seconds since the run began."""
        return self.start + self.seconds


def moment(text: Any) -> datetime | None:
    """A time out of a journal; None for what is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (
        found if found.tzinfo and 1 < found.year < 9999 else None
    )  # others have no time in every zone


def length(seconds: float) -> str:
    """A number of seconds: "< 0,01 s", "0,35 s", "12,4 s", "2 min 5 s"."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 0.005:
        return "< 0,01 s"
    if seconds < 59.95:
        text = f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"
        return text.removesuffix(".00").removesuffix(".0").replace(".", ",") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [
        f"{hours} h" if hours else "",
        f"{minutes} min" if minutes else "",
        f"{rest} s" if rest and not hours else "",
    ]
    return " ".join(filter(None, parts))


def set_back(run: Run) -> bool:
    """Whether the journal's times go backwards, or one is none: the machine's clock was changed while the run went on."""
    times = [moment(e.get("time")) for e in run.entries]
    return (
        any(before is None or after is None or after < before for before, after in pairwise(times))
        or None in times
    )


def bars(run: Run, checks: Callable[[int], str]) -> dict[str, list[Bar]]:
    """Each chapter's steps and checks, checks in a row as one bar; `checks` gives the title of so many.

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
                first = made.pop()
                bar = replace(
                    bar, start=first.start, seconds=bar.end - first.start, title=checks(together)
                )
            made.append(bar)
        found[chapter.name] = made
    return found


def spans(run: Run, made: dict[str, list[Bar]]) -> list[Bar]:
    """Each chapter that began as one bar: from its first line to its last, else over its own bars."""
    trusted = not set_back(run)
    found = []
    for chapter in run.chapters:
        began, ended = moment(chapter.began), moment(chapter.ended)
        own = made[chapter.name]
        if trusted and began and ended:
            start, end = _since(run, began), _since(run, ended)
        elif own:
            start, end = own[0].start, max(b.end for b in own)
        else:
            continue
        outcome = {"failed": "failed", "interrupted": "interrupted", "killed": "interrupted"}.get(
            chapter.status, "changed"
        )
        found.append(Bar(chapter.name, outcome, start, end - start))
    return found


def _bar(run: Run, entry: dict[str, Any], clock: float, trusted: bool) -> Bar:
    """seconds: a step's own, measured by a clock that is never set; the line's time is that of its end."""
    given = entry.get("seconds")
    seconds = (
        max(0.0, float(given)) if isinstance(given, (int, float)) and math.isfinite(given) else 0.0
    )
    outcome = str(entry.get("outcome") or check_verdict(entry))
    ended = moment(entry.get("time"))
    start = max(0.0, _since(run, ended) - seconds) if trusted and ended else clock
    return Bar(str(entry.get("title", "")), outcome, start, seconds)


def _since(run: Run, when: datetime) -> float:
    begun = moment(run.entries[0].get("time"))
    return (when - begun).total_seconds() if begun else 0.0


def draw(given: Sequence[Bar], *, alt: str, wide: bool) -> str:
    """The bars as an SVG, 820 (wide) or 340 pixels wide."""
    width, left, right = (820, 340, 746) if wide else (340, 0, 340)
    row = ROW if wide else NARROW_ROW
    first, last = min(b.start for b in given), max(b.end for b in given)
    pixels = (right - left) / max(last - first, 0.001)
    height = HEAD + row * len(given) + 4
    parts = [
        _tick(left + (seconds - first) * pixels, label, height)
        for seconds, label in _ticks(first, last)
    ]
    for number, bar in enumerate(given):
        x, y = left + (bar.start - first) * pixels, HEAD + row * number
        size = max(NARROWEST, bar.seconds * pixels)
        x = min(x, right - size)
        room = left - 12 if wide else width - 74
        parts.append(
            _row(bar, x, y, size, _cut(SIGNS.get(bar.outcome, "") + bar.title, room), width, wide)
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{_safe(alt)}"><title>{_safe(alt)}</title>{"".join(parts)}</svg>'
    )


def _row(bar: Bar, x: float, y: int, size: float, label: str, width: int, wide: bool) -> str:
    base, top, high = (y + 16, y + 5, 14) if wide else (y + 14, y + 21, 10)
    known = ("changed", "unchanged", "failed", "interrupted", "passed")
    colour = (
        bar.outcome
        if bar.outcome in known
        else "unchanged"
        if bar.outcome == "not tried"
        else "changed"
    )
    return (
        f'<g><title>{_safe(bar.title)}: {length(bar.seconds)}</title><text x="0" y="{base}">{_safe(label)}</text>'
        f'<rect class="{colour}" x="{x:.1f}" y="{top}" width="{size:.1f}" height="{high}" rx="2"/>'
        f'<text class="number" x="{width}" y="{base}" text-anchor="end">{length(bar.seconds)}</text></g>'
    )


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
    return [(seconds, f"{seconds:.{decimals}f}".replace(".", ",") + " s") for seconds in found]


def _cut(text: str, pixels: float) -> str:
    most = int(pixels / CHARACTER)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _safe(text: str) -> str:
    return escape(legible(text))
