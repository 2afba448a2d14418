"""What several exercises look at."""

from __future__ import annotations

from collections.abc import Iterator

from ..checks.checks import CHECKS
from ..steps.cluster import Cluster
from ..steps.instance import Instance
from ..words.text import t
from .registry import Found, Known


def read(instance: Instance) -> Found:
    """Whether a server has read its edited files."""
    unread = ", ".join(instance.unread())
    claim = t("{name} has read its files", name=instance.name)
    where = t("pg_conf_load_time() on {name}", name=instance.name)
    return Found("read", claim, not unread, unread, where)


def claim(cluster: Cluster, name: str, look: str) -> Found:
    """A check of the checks' room. look: where to look, instead of its own advice."""
    made = CHECKS[name](cluster)
    return Found(name, t(CHECKS[name].title), made.passed, t("it is not so"), look)


def streams(replica: Instance, look: str) -> Found:
    """Whether a replica follows its upstream."""
    holds, state = replica.streams()
    names = {"name": replica.name, "upstream": replica.upstream.name}
    return Found("streams", t("{name} follows {upstream}", **names), holds, t(state), look)


def all_stream(cluster: Cluster, look: str) -> Iterator[Found]:
    """The same of all replicas, as one."""
    lacking = [r.name for r in cluster.replicas if not r.streams()[0]]
    seen = t("{names} does not", names=", ".join(lacking))
    yield Found("streaming", t("every replica follows its upstream"), not lacking, seen, look)


def answered(known: Known, wanted: str, look: str) -> Found:
    """Whether the answer is this one; it is compared without regard to case and spaces."""
    given = str(known.get("answer", ""))
    holds = given.strip().casefold() == wanted.casefold()
    seen = t("no answer yet")
    if given:
        seen = t("{answer} is not it", answer=repr(given))
    return Found("answer", t("the answer is right"), holds, seen, look)
