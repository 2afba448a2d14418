"""Whether what was configured, recorded and promised is in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...cluster import spaces
from ...cluster.members import AnyCluster
from ...cluster.server import Server
from ...doors import db
from ...drift import drift
from ...engine.action import CONFIGURATION
from ...postgres import conf
from ...postgres.confirmation import COMMITS, FOLLOWERS, WAITED_FOR, promised, seen, waited_for
from ...words.quoted import POSTGRESQL, quoted
from ...words.text import joined, mark, t
from ..outcome import Fact
from ..registry import NotTried, check
from .access import strangers

ERRORS = """
select name as place, error from pg_file_settings where error is not null
union all
select 'pg_hba.conf:' || line_number, error from pg_hba_file_rules where error is not null"""
WAITING = "select name from pg_settings where pending_restart"

# The settings of one file that are in effect from there. Names as in the file may differ in case;
# those of extensions that are not loaded are in no view but the file's.
FROM_FILE = """
select lower(f.name) as name, f.setting
from pg_file_settings f left join pg_settings s on lower(s.name) = lower(f.name)
where f.applied and f.sourcefile = %s
  and (s.sourcefile = f.sourcefile or s.name is null and f.name like '%%.%%')"""
STRANGER = mark("{address} answers as {name} and is none of ours")
NO_STRANGERS = mark(
    "end who is none of ours; with scram-sha-256 nobody without the password can answer"
)
FEW = mark("only {count} follow {primary} itself: {more}, or `pgrepl sync off`")
IN_EFFECT = "pg_file_settings, pg_hba_file_rules, pg_settings: ok"


@check(
    "settings",
    mark("Every configured setting is in effect, from the file it was written to"),
    mark("the named settings have another owner, an error, or are not read yet: `pgrepl run`"),
)
def settings(cluster: AnyCluster) -> Iterable[Fact]:
    """`pg_file_settings`, `pg_hba_file_rules`, `pg_settings` of each instance (System Views)."""
    for instance in (cluster.primary, *cluster.replicas):
        wrong = joined("; ", _wrong_settings(instance))
        yield Fact(instance.name, IN_EFFECT, wrong or IN_EFFECT)


def _wrong_settings(instance: Server) -> Iterator[str]:
    """Managed settings that another owner overrides, and every error that the server sees."""
    folder, path = instance.cluster.folder / instance.name, instance.told_path(CONFIGURATION[0])
    found = db.rows_as_configured(instance.address, FROM_FILE, [path])
    in_effect = {r["name"]: r["setting"] for r in found}
    managed = conf.managed_settings((folder / CONFIGURATION[0]).read_text("utf-8"))
    for name, value in managed.items():
        if in_effect.get(name) != value:
            yield t(
                "{name} = {value} is not in effect from {path}", name=name, value=value, path=path
            )
    for file in instance.unread():
        yield t("{file} was edited, and is not read yet", file=file)
    for row in db.rows(instance.address, ERRORS):
        yield joined(": ", [row["place"], quoted(POSTGRESQL, row["error"])])
    for row in db.rows(instance.address, WAITING):
        yield t("{name} waits for a restart", name=row["name"])


@check(
    "drift", mark("Everything is as the last run recorded it"), mark("`pgrepl run` takes it back")
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
    primary, wanted = cluster.primary, promised(cluster.topology.synchronous)
    found = seen(db.row(primary.address, COMMITS))
    if others := _confirming_strangers(cluster):
        told = [t(STRANGER, address=r["address"], name=r["name"]) for r in others]
        yield Fact(primary.name, wanted, joined("; ", [found, *told]), t(NO_STRANGERS))
    else:
        yield Fact(primary.name, wanted, found, _way_back(cluster))


def _way_back(cluster: AnyCluster) -> str:
    """How enough replicas come to follow the primary itself: for others no commit waits."""
    topology, primary = cluster.topology, cluster.topology.primary
    direct = topology.followers(primary)
    if waited_for(topology.synchronous) <= len(direct):
        way = t("`pgrepl run` starts replicas that stand, and puts the promise back")
        return cluster.addressed(way)
    ways = [f"`pgrepl rejoin {name}`" for name in topology.fenced]
    ways += [f"`pgrepl replica follow {n} {primary}`" for n in topology.replicas if n not in direct]
    more = ", ".join([*ways, "`pgrepl replica add`"])
    return cluster.addressed(t(FEW, count=len(direct), primary=primary, more=more))


def _confirming_strangers(cluster: AnyCluster) -> list[dict[str, Any]]:
    """The standbys that commits wait for and that are none of ours."""
    found = db.rows(cluster.primary.address, FOLLOWERS)
    return strangers(cluster.primary, [r for r in found if r["sync"] in WAITED_FOR])


@check("tablespaces", mark("Each instance has all its data for itself"), mark("move it there"))
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
