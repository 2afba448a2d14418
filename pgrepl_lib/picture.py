"""The cluster as a picture: an SVG that shows in JupyterLab, on code-hosting sites and in the exported HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cluster import Cluster

FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" width="760" role="img" aria-label="{alt}"
 font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="14"><title>{alt}</title>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 10 5 0 10z" fill="#336791"/></marker></defs>
<rect width="760" height="{height}" fill="#ffffff"/>
<rect x="12" y="12" width="736" height="{inner}" rx="10" fill="#f4f7fa" stroke="#9db2c4" stroke-dasharray="6 4"/>
<text x="28" y="36" fill="#4a6074">{network}</text>{body}</svg>"""
BOX = """<g><rect x="{x}" y="{y}" width="230" height="104" rx="8" fill="{fill}" stroke="#336791" stroke-width="2"/>
<text x="{mid}" y="{title_y}" text-anchor="middle" font-weight="bold" font-size="17" fill="#1d3b53">{title}</text>{lines}</g>"""
LINE = '<text x="{x}" y="{y}" text-anchor="middle" fill="#33475b">{text}</text>'
ARROW = """<path d="{way}" stroke="#336791" stroke-width="2.5" marker-end="url(#tip)" fill="none"/>
<text x="{x}" y="{above}" text-anchor="middle" fill="#1d3b53">WAL (streaming)</text>
<text x="{x}" y="{below}" text-anchor="middle" fill="#4a6074" font-size="12">slot {slot}</text>"""


def topology(cluster: Cluster, *, network: str, writes: str, reads: str, alt: str) -> str:
    """The primary, its replicas and the way of the WAL. The texts are the reader's language, hence arguments."""
    count = len(cluster.replicas)
    height = 62 + 130 * count
    middle = 56 + (130 * count - 26) // 2 - 52
    parts = [_box(40, middle, "#dbe8f3", cluster.primary.name, [writes, f"PostgreSQL {cluster.params.pg_version}"])]
    for i, replica in enumerate(cluster.replicas):
        y = 56 + 130 * i
        parts.append(_box(490, y, "#eef3e6", replica.name, [reads, f"application_name {replica.application_name}"]))
        start, end = middle + 52, y + 52  # the labels stand at the level part of an arrow
        way, x = (f"M276 {start} L484 {end}", 380) if count == 1 else (f"M276 {start} L326 {end} L484 {end}", 400)
        parts.append(ARROW.format(way=way, x=x, above=end - 10, below=end + 18, slot=escape(replica.slot)))
    return FRAME.format(height=height, inner=height - 24, alt=escape(alt), network=escape(network), body="".join(parts))


def _box(x: int, y: int, fill: str, title: str, lines: list[str]) -> str:
    texts = "".join(LINE.format(x=x + 115, y=y + 60 + 24 * i, text=escape(line)) for i, line in enumerate(lines))
    return BOX.format(x=x, y=y, mid=x + 115, title_y=y + 32, fill=fill, title=escape(title), lines=texts)
