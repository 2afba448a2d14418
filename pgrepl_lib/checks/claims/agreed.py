"""Whether what was configured, recorded and promised is in force."""

from __future__ import annotations

from collections.abc import Iterable

from ...cluster import spaces
from ...cluster.members import AnyCluster
from ...drift import drift
from ...words.text import mark, t
from .. import standbys
from ..outcome import Fact
from ..registry import NotTried, check
from .in_effect import wrong_settings

IN_EFFECT = "pg_file_settings, pg_hba_file_rules, pg_settings: ok"


@check(
    "settings",
    mark("Every configured setting is in effect, from the file it was written to"),
    mark("the named settings have another owner, an error, or are not read yet: `pgrepl run`"),
)
def settings(cluster: AnyCluster) -> Iterable[Fact]:
    """`pg_file_settings`, `pg_hba_file_rules`, `pg_settings` of each instance (System Views)."""
    for instance in (cluster.primary, *cluster.replicas):
        wrong = "; ".join(wrong_settings(instance))
        yield Fact(instance.name, IN_EFFECT, wrong or IN_EFFECT)


@check(
    "drift",
    mark("Everything is as the last run recorded it"),
    mark("`pgrepl run` takes it back"),
)
def as_recorded(cluster: AnyCluster) -> Iterable[Fact]:
    """Live settings, files, slots, roles and the replication user's rights (`recorded.json`)."""
    if not (found := drift.verdict(cluster)):
        why = t("nothing is recorded: `pgrepl run` records what it leaves")
        raise NotTried(t("as recorded"), why)
    yield Fact("", *found)


@check(
    "synchronous",
    mark("Commits wait for whom they shall"),
    mark("`pgrepl run` starts replicas that stand"),
)
def synchronous(cluster: AnyCluster) -> Iterable[Fact]:
    """Compares the server with `cluster.json`: a commit that nobody confirms waits for ever."""
    ours = [standbys.Standby(r.application_name, r.slot, r.address) for r in cluster.replicas]
    primary, params = cluster.primary, cluster.params
    sender = cluster.engine.upstream(primary.name)
    found = standbys.verdict(primary.address, cluster.topology, ours, sender, params)
    yield Fact(primary.name, *found)


@check(
    "tablespaces",
    mark("Each instance has all its data for itself"),
    mark("move it there"),
)
def tablespaces(cluster: AnyCluster) -> Iterable[Fact]:
    """On one machine they would share what lies outside, a container has it in no volume."""
    found = spaces.outside(cluster.primary.address)
    remedy = spaces.remedy(cluster.engine, cluster.topology, found)
    yield Fact(cluster.primary.name, spaces.told({}), spaces.told(found), remedy)


@check(
    "images",
    mark("Each instance is of the image that its name means"),
    mark("`pgrepl run` renews it"),
)
def images(cluster: AnyCluster) -> Iterable[Fact]:
    """Compared by their ids: an image that was pulled again has the same name."""
    for name in cluster.topology.names:
        none = t("no other image")
        yield Fact(name, none, cluster.engine.other_image(name) or none)
