"""The pictures of a report: the cluster as the run left it, and when each step happened."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..cluster import topology
from ..journal import timeline
from ..journal.runs import Run
from ..params import MAX_REPLICAS
from ..words import picture
from ..words.language import decimal
from ..words.text import Text, joined, mark, t
from . import template

if TYPE_CHECKING:
    from markupsafe import Markup

# Beside a bar's title, since not everybody tells its colour.
SIGNS = {"failed": "✘ ", "interrupted": "■ ", "passed": "✔ ", "not tried": "○ "}
HEAD = 26  # pixels of the axis
NARROWEST = 2.0  # pixels of a bar
CHARACTER = 7.0  # pixels of one, on average, with room to spare
BARS = 40  # at most in one picture, so that it fits a printed page
TIMELINE = mark("Timeline, {name}: {count} bars; the same numbers are in the table below")


@dataclass(frozen=True)
class _Layout:
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


BESIDE = _Layout(width=820, left=340, right=746, row=24, base=16, top=5, high=14, room=328)
ABOVE = _Layout(width=340, left=0, right=340, row=38, base=14, top=21, high=10, room=266)


def left(run: Run) -> dict[str, dict[str, Any]]:
    """The instances as the run left them; empty where it did not come to that, or removed them."""
    return next((e.get("instances") or {} for e in reversed(run.of("state"))), {})


def instances(run: Run) -> list[dict[str, Any]]:
    """The instances as the run left them or, where it did not come to that, as they were wanted."""
    if known := left(run):
        return [_instance(name, **facts) for name, facts in known.items()]
    ports = run.first("engine").get("port") or {}
    names = list(ports) or _wanted(run)
    made = [_instance(n, role="replica", upstream=names[0], port=ports.get(n)) for n in names[1:]]
    return [_instance(n, role="primary", port=ports.get(n)) for n in names[:1]] + made


def _wanted(run: Run) -> list[str]:
    """The names of the instances that a run was to make."""
    if not run.opening:
        return []
    wanted = run.opening.get("params", {}).get("replicas")
    count = min(wanted, MAX_REPLICAS) if isinstance(wanted, int) else 0
    return [topology.name_of(number) for number in range(count + 1)]


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
            known["application_name"] = topology.application_name(name)
            known["slot"] = topology.slot_of(name)
    return known


def cluster(run: Run) -> list[Markup]:
    """The cluster, for a wide and a narrow page; none where the journal does not say of what."""
    from markupsafe import Markup

    params = run.opening.get("params", {})
    version = run.first("engine").get("facts", {}).get("postgres") or params.get("pg_version", "")
    nodes = [
        picture.Node(i["name"], i["role"], _lines(i, version), i["upstream"], i.get("slot", ""))
        for i in instances(run)
    ]
    if not nodes:
        return []
    names = ", ".join(node.name for node in nodes)
    sent = joined("; ", [_sent(node) for node in nodes if node.upstream]) or names
    alt = t("The cluster {project}: {sent}", project=params.get("project", ""), sent=sent)
    network = t("the cluster's network")
    return [
        Markup(picture.draw(nodes, network=network, alt=alt, narrow=narrow))
        for narrow in (False, True)
    ]


def _lines(instance: dict[str, Any], version: Any) -> tuple[str, ...]:
    if not instance["running"]:
        return (t("stopped"),)
    if instance["role"] == "primary":
        return t("writes and reads"), f"PostgreSQL {version}"
    if instance["role"] == "fenced":
        return t("fenced: refuses writes"), ""
    return t("only reads"), instance.get("application_name", "")


def _sent(node: picture.Node) -> Text:
    if not node.slot:
        return t("{upstream} sends WAL to {replica}", upstream=node.upstream, replica=node.name)
    return t(
        "{upstream} sends WAL to {replica}, by slot {slot}",
        upstream=node.upstream,
        replica=node.name,
        slot=node.slot,
    )


def times(bars: list[timeline.Bar], name: str) -> list[tuple[Markup, Markup]]:
    """Bars as pictures, each for a wide and for a narrow page."""
    alt = t(TIMELINE, name=name, count=len(bars))
    parts = [bars[i : i + BARS] for i in range(0, len(bars), BARS)]
    return [(_over_seconds(part, alt, BESIDE), _over_seconds(part, alt, ABOVE)) for part in parts]


def _over_seconds(bars: list[timeline.Bar], alt: str, layout: _Layout) -> Markup:
    """Bars over an axis of seconds, as an SVG."""
    from markupsafe import Markup

    first, last = min(bar.start for bar in bars), max(bar.end for bar in bars)
    pixels = (layout.right - layout.left) / max(last - first, 0.001)
    rows = []
    for number, bar in enumerate(bars):
        size = max(NARROWEST, bar.seconds * pixels)
        x = min(layout.left + (bar.start - first) * pixels, layout.right - size)
        label = _cut(SIGNS.get(bar.outcome, "") + bar.title, layout.room)
        rows.append((bar, label, HEAD + layout.row * number, x, size))
    ticks = [(layout.left + (at - first) * pixels, label) for at, label in _ticks(first, last)]
    height = HEAD + layout.row * len(bars) + 4
    page = template.environment().get_template("timeline.svg.j2")
    return Markup(page.render(alt=alt, layout=layout, height=height, ticks=ticks, rows=rows))


def _cut(text: str, pixels: float) -> str:
    most = int(pixels / CHARACTER)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


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
