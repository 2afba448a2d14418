"""The pictures of a report: the cluster as the run left it, and when each step happened."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..cluster import topology
from ..journal import timeline
from ..journal.runs import Run
from ..params import MAX_REPLICAS
from ..words import picture
from ..words.text import Text, joined, mark, t

if TYPE_CHECKING:
    from markupsafe import Markup

BARS = 40  # at most in one picture, so that it fits a printed page
TIMELINE = mark("Timeline, {name}: {count} bars; the same numbers are in the table below")


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
    from markupsafe import Markup

    alt = t(TIMELINE, name=name, count=len(bars))
    parts = [bars[i : i + BARS] for i in range(0, len(bars), BARS)]
    return [
        (
            Markup(timeline.draw(part, alt=alt, wide=True)),
            Markup(timeline.draw(part, alt=alt, wide=False)),
        )
        for part in parts
    ]
