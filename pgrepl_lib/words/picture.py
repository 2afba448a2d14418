"""The cluster as a picture: an SVG.

It shows in JupyterLab, on code-hosting sites and in the exported HTML, on light paper and on dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .legible import legible

FRAME = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
    'role="img" aria-label="{alt}"\n'
    ' font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="14">'
    "<title>{alt}</title>\n"
    '<defs><marker id="{tip}" viewBox="0 0 10 10" refX="9" refY="5" '
    'markerWidth="7" markerHeight="7" orient="auto">\n'
    '<path d="M0 0 10 5 0 10z" fill="#336791"/></marker></defs>\n'
    '<rect x="12" y="12" width="{wide}" height="{high}" rx="10" '
    'fill="#f4f7fa" stroke="#9db2c4" stroke-dasharray="6 4"/>\n'
    '<text x="28" y="36" fill="#4a6074">{network}</text>{body}</svg>'
)
BOX = (
    '<g><rect x="{x}" y="{y}" width="230" height="104" rx="8" '
    'fill="{fill}" stroke="#336791" stroke-width="2"/>\n'
    '<text x="{mid}" y="{title_y}" text-anchor="middle" '
    'font-weight="bold" font-size="17" fill="#1d3b53">{title}</text>{lines}</g>'
)
LINE = '<text x="{x}" y="{y}" text-anchor="middle" fill="#33475b">{text}</text>'
ARROW = (
    '<path d="{way}" stroke="#336791" stroke-width="2.5" marker-end="url(#{tip})" fill="none"/>\n'
    '<text x="{x}" y="{above}" text-anchor="{anchor}" fill="#1d3b53">WAL (streaming)</text>\n'
    '<text x="{x}" y="{below}" text-anchor="{anchor}" '
    'fill="#4a6074" font-size="12">slot {slot}</text>'
)
FILLS = {"primary": "#dbe8f3", "replica": "#eef3e6", "fenced": "#f8e3df"}
WIDE, HIGH, COLUMN, ROW = 230, 104, 450, 130  # a box, and from one to the next
INDENT, STEP = 40, 168  # the same where the boxes stand below each other


@dataclass(frozen=True)
class Node:
    """An instance: its name, role (primary, replica or fenced) and lines of text.

    A replica has an upstream and a slot, too.
    """

    name: str
    role: str
    lines: tuple[str, ...]
    upstream: str = ""
    slot: str = ""


def draw(nodes: Sequence[Node], *, network: str, alt: str, narrow: bool = False) -> str:
    """Instances and the way of the WAL: from left to right or, narrow, from top to bottom."""
    places, arrow, margin = _side_by_side(nodes), _arrow, 40
    if narrow:
        places, arrow, margin = _below_each_other(nodes), _arrow_down, 22
    parts = []
    for node in (n for n in nodes if n.name in places):
        parts.append(_box(*places[node.name], node))
        if node.upstream in places:
            alone = sum(n.upstream == node.upstream for n in nodes) == 1
            parts.append(arrow(places[node.upstream], places[node.name], node.slot, alone))
    width = max((x for x, _ in places.values()), default=40) + WIDE + margin
    height = max((y for _, y in places.values()), default=0) + HIGH + 32
    return FRAME.format(
        width=width,
        height=height,
        wide=width - 24,
        high=height - 24,
        alt=_safe(alt),
        network=_safe(network),
        tip=_tip(narrow),
        body="".join(parts),
    )


def _tree(nodes: Sequence[Node]) -> list[tuple[Node, int]]:
    """Each instance with how many it stands below the one that follows nobody.

    Followers come after whom they follow.
    """
    names = {n.name for n in nodes}
    found: list[tuple[Node, int]] = []

    def add(node: Node, depth: int) -> None:
        if node not in [n for n, _ in found]:
            found.append((node, depth))
            for follower in (n for n in nodes if n.upstream == node.name):
                add(follower, depth + 1)

    for root in (n for n in nodes if n.upstream not in names):
        add(root, 0)
    return found


def _side_by_side(nodes: Sequence[Node]) -> dict[str, tuple[int, int]]:
    """A column for each distance; an instance stands in the middle of those that follow it."""
    places: dict[str, tuple[int, int]] = {}
    free = 56
    for node, depth in reversed(tree := _tree(list(reversed(nodes)))):
        followers = (n.name for n, _ in tree if n.upstream == node.name)
        heights = [places[name][1] for name in followers if name in places]
        if heights:
            y = (min(heights) + max(heights)) // 2
        else:
            y, free = free, free + ROW
        places[node.name] = (40 + COLUMN * depth, y)
    return places


def _below_each_other(nodes: Sequence[Node]) -> dict[str, tuple[int, int]]:
    """A row for each instance, indented by its distance."""
    return {
        node.name: (28 + INDENT * depth, 50 + STEP * row)
        for row, (node, depth) in enumerate(_tree(nodes))
    }


def _arrow(start: tuple[int, int], end: tuple[int, int], slot: str, alone: bool) -> str:
    """The labels stand at the level part of an arrow."""
    (x, y), (to_x, to_y) = (start[0] + WIDE + 6, start[1] + 52), (end[0] - 6, end[1] + 52)
    way, middle = f"M{x} {y} L{x + 50} {to_y} L{to_x} {to_y}", x + 124
    if alone:
        way, middle = f"M{x} {y} L{to_x} {to_y}", x + 104
    return _labelled(way, middle, to_y - 10, to_y + 18, slot, "middle", False)


def _arrow_down(start: tuple[int, int], end: tuple[int, int], slot: str, alone: bool) -> str:
    x, y, to_y = start[0] + 14, start[1] + HIGH + 4, end[1] + 52
    return _labelled(
        f"M{x} {y} V{to_y} H{end[0] - 4}", x + 16, end[1] - 32, end[1] - 14, slot, "start", True
    )


def _labelled(
    way: str, x: int, above: int, below: int, slot: str, anchor: str, narrow: bool
) -> str:
    return ARROW.format(
        way=way, x=x, above=above, below=below, slot=_safe(slot), anchor=anchor, tip=_tip(narrow)
    )


def _box(x: int, y: int, node: Node) -> str:
    mid = x + WIDE // 2
    texts = "".join(
        LINE.format(x=mid, y=y + 60 + 24 * i, text=_safe(line)) for i, line in enumerate(node.lines)
    )
    return BOX.format(
        x=x,
        y=y,
        mid=mid,
        title_y=y + 32,
        fill=FILLS[node.role],
        title=_safe(node.name),
        lines=texts,
    )


def _tip(narrow: bool) -> str:
    return "tip-narrow" if narrow else "tip"


def _safe(text: str) -> str:
    return escape(legible(text))
