"""More replicas: prepared side by side, added, removed, made anew, moved to another upstream."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ..checks import slots
from ..cluster import promises, restarts
from ..cluster.changes import outdated
from ..cluster.dropping import drop_slot
from ..doors import ahead, db, files, show
from ..doors.program import silently
from ..drift import undo
from ..engine.action import Action, Tell
from ..errors import ParameterError, PgreplError, StepFailed
from ..logins.tls import certificates
from ..postgres.limits import PARALLEL, limits
from ..words.text import mark, t
from . import bystanders
from .actions import replacing
from .actions.copying import replacing_action, slot_action
from .actions.standby import configuration_action, standby_action
from .actions.starting import start_action, start_commands, whole_action
from .refusals import refuse_certificates
from .removable import require_rebuildable, require_removable
from .steps import Outcomes

if TYPE_CHECKING:
    from .cluster import Cluster
    from .instance import Instance


INSTEAD = mark("let {name} be the primary instead: `pgrepl switchover --to {name}`")
NOT_YET = mark("{name} is {state}, and does not follow yet.")
LACKS = mark("{name} is {have}, {count} replicas need {need}")
MORE_ROOM = mark(
    "`pgrepl run -p replicas {count}` raises the limits (it restarts the primary) and prepares the "
    "replicas; a value given with the parameter settings is yours to raise"
)


def prepare_all(cluster: Cluster, names: Sequence[str] = ()) -> Outcomes:
    """Steps: each replica after the first from nothing to streaming, up to four at once.

    Returns the outcomes. names: these only. A replica of a replica waits for its upstream.
    """
    cluster.require_primary()
    chosen = [cluster.instance(n) for n in (names or [r.name for r in cluster.replicas[1:]])]
    if not chosen:
        return Outcomes()
    if not all(r.prepared() for r in chosen):
        cluster.primary.require_copyable()
    if not ahead.looking():  # the steps before may raise the limits
        _require_room(cluster, [r for r in chosen if not r.prepared()])
    for replica in chosen:
        cluster.settle_port(replica.name)
    return _in_waves(cluster, chosen)


def _in_waves(cluster: Cluster, chosen: list[Instance]) -> Outcomes:
    """Those side by side whose upstreams are ready; then those that follow them."""
    outcomes = Outcomes()
    ready = {i.name for i in cluster.replicas if i not in chosen} | {cluster.primary.name}
    while chosen:
        wave = [r for r in chosen if r.upstream.name in ready]
        outcomes += cluster.perform_all([_whole_step(r) for r in wave], at_once=PARALLEL)
        ready |= {r.name for r in wave}
        chosen = [r for r in chosen if r not in wave]
    return outcomes


def _whole_step(replica: Instance) -> tuple[str, Action]:
    """A replica's step of `prepare_all`."""
    action = slots.tidied(replica.cluster, replica, undo.renewed(replica, whole_action(replica)))
    return t("Prepare {name}", name=replica.name), action


def add(cluster: Cluster, upstream: str = "") -> Instance:
    """Step: one more replica, of the primary or of another replica; returns it.

    An interrupted one is continued: what has a name but no complete data comes first.
    """
    cluster.refuse_unfinished()
    outdated.require_none(cluster.engine, cluster.topology)
    cluster.require_primary()
    source = cluster.instance(upstream or cluster.primary.name)
    unfinished = (r.name for r in cluster.replicas if not r.prepared())
    name = next(unfinished, cluster.topology.next_name())
    _require_room(cluster, [name])
    refuse_certificates(cluster, [name], cluster.params.plain())
    source.require_copyable()
    with cluster.working():
        cluster.topology.upstreams.setdefault(name, source.name)
        cluster.change_instances()
        prepare_all(cluster, [name])
        _renew_promise(cluster)
    return cluster.instance(name)


def remove(cluster: Cluster, name: str, confirm: bool = False) -> str:
    """Step: stop a replica, remove its data and files, and drop its slot, which would hold WAL.

    Raises `ParameterError` for the primary, for one that others follow, and without confirm for
    the last replica.
    """
    instance = cluster.instance(name)
    require_removable(cluster, name, confirm)
    parts = [cluster.engine.stop(name)]
    if name in cluster.topology.upstreams:
        parts.append(_freed_slot(instance))
    parts.append(cluster.engine.discard_data(name))  # last: whatever fails before costs no data
    with cluster.working():
        outcome = cluster.perform(t("Remove {name}", name=name), Action.sequence(parts))
        files.remove_below(cluster.folder, name)
        certificates.forget(cluster, name)
        cluster.topology.upstreams.pop(name, None)
        cluster.topology.fenced.pop(name, None)
        cluster.change_instances()
        _renew_promise(cluster)
    return outcome


def _freed_slot(instance: Instance) -> Action:
    """Its slot goes; at a replica that does not answer it is left, and told."""
    drop = drop_slot(instance.upstream, instance.slot)
    if instance.upstream.is_replica:
        return bystanders.not_needed(drop, partial(_left_slot, instance))
    return drop


def rebuild(cluster: Cluster, name: str, discard: bool = False) -> str:
    """Step: a replica's data are replaced by a new base backup, once that is complete.

    discard: also where it has what its upstream does not have, since somebody promoted it.
    """
    instance = cluster.instance(name)
    require_rebuildable(cluster, name, discard)
    title = t("Make {name} anew", name=name)
    if not cluster.engine.has_data(name) or cluster.mark(name).exists():
        return cluster.perform(title, whole_action(instance))
    return cluster.perform(title, _rebuilding_action(instance))


def _rebuilding_action(instance: Instance) -> Action:
    """The copy beside its data, exchange and start; where the copy fails, it is as it was."""
    engine, name = instance.cluster.engine, instance.name
    slot, copy = slot_action(instance.upstream, instance.slot), replacing_action(instance)
    stop, configuration = engine.stop(name), configuration_action(instance)

    def do(tell: Tell) -> None:
        replacing.require_room(engine, name, instance.upstream.name)
        if ran := not stop.done():
            stop.do(tell)
        try:
            _renew_lost_slot(instance)
            Action.sequence([slot, copy]).do(tell)
        except PgreplError:
            if ran and replacing.forget_copy(engine, name, instance.cluster.mark(name)):
                _start_again(instance)
            raise
        configuration.do(tell)
        undo.with_settings(instance, start_action(instance)).do(tell)

    parts = [stop, slot, copy]
    if not configuration.done():
        parts.append(configuration)
    commands = (c for part in parts for c in part.commands)
    return Action((*commands, *start_commands(instance)), do)


def _start_again(instance: Instance) -> None:
    """After a copy that failed, with the data it had; the failure is the error to tell."""
    with suppress(PgreplError):
        instance.cluster.engine.start(instance.name).do(silently)
        instance.wait_ready()


def follow(cluster: Cluster, name: str, upstream: str) -> str:
    """Step: a replica changes its upstream: slot there, settings, reload, and the old slot goes."""
    instance, target = cluster.instance(name), cluster.instance(upstream)
    if name not in cluster.topology.upstreams:
        remedy = t("a fenced former primary first comes back: `pgrepl rejoin {name}`", name=name)
        if name == cluster.topology.primary != upstream:
            remedy = t(INSTEAD, name=upstream)
        cause = t("{name} is no replica; nothing was touched.", name=name)
        raise ParameterError(cause, remedy=cluster.addressed(remedy))
    if upstream == name or name in _above(cluster, upstream):
        raise ParameterError(
            t("{upstream} follows {name}; nothing was touched.", upstream=upstream, name=name),
            remedy=t("choose another upstream"),
        )
    outdated.require_none(cluster.engine, cluster.topology)
    if upstream != cluster.primary.name:
        promises.require_enough_left(cluster, name)
    drops = bystanders.not_needed(
        slots.elsewhere(cluster, instance, upstream), partial(_left_slot, instance)
    )
    action = Action.sequence([move_action(instance, target), drops])
    return cluster.perform(t("Let {name} follow {upstream}", name=name, upstream=upstream), action)


def _left_slot(instance: Instance, why: str) -> None:
    later = instance.cluster.addressed(t("`pgrepl run` drops it once its server answers"))
    show.notice(
        t("{slot} is left behind ({why}): {later}", slot=instance.slot, why=why, later=later)
    )


def move_action(instance: Instance, target: Instance) -> Action:
    """Let a running replica stream from another instance, over a slot of its own there."""
    cluster, slot = instance.cluster, slot_action(target, instance.slot)
    follows, note = standby_action(instance, target), partial(_note_upstream, instance, target)

    def do(tell: Tell) -> None:
        if not slot.done():
            slot.do(tell)
        follows.do(tell)
        note()
        if cluster.engine.running(instance.name):
            restarts.hold(instance, restarts.in_use(target))
            restarts.take_over(instance)
            instance.wait_streaming()
        elif not (life := cluster.engine.life(instance.name)).ended:
            remedy = cluster.addressed(t("`pgrepl run` lets it go on, and follow"))
            cause = t(NOT_YET, name=instance.name, state=t(life))
            raise StepFailed(cause, remedy=remedy)

    def done() -> bool:
        known = cluster.topology.upstreams.get(instance.name) == target.name
        return known and instance.streams()[0] and not instance.stale()

    reload = restarts.reload_action(instance).commands
    return Action((*slot.commands, *follows.commands, *reload), do, done, leaves=note)


def _note_upstream(instance: Instance, target: Instance) -> None:
    instance.cluster.topology.upstreams[instance.name] = target.name
    instance.cluster.record()


@ahead.judged_now
def _require_room(cluster: Cluster, more: Sequence[object]) -> None:
    """The running primary's limits, which only a restart raises, must do for what is to come."""
    count = len(cluster.topology.names) - 1
    count += sum(isinstance(m, str) and m not in cluster.topology.names for m in more)
    if not more:
        return
    have = {
        n: int(db.row(cluster.primary.address, f"show {n}")[n])
        for n in ("max_wal_senders", "max_replication_slots")
    }
    need = {"max_wal_senders": count + 2, "max_replication_slots": count, **limits(count)}
    if lacking := [
        t(LACKS, name=n, have=have[n], count=count, need=need[n]) for n in have if have[n] < need[n]
    ]:
        remedy = t(MORE_ROOM, count=count)
        cause = t("The primary has no room for another replica; nothing was changed.")
        raise StepFailed(cause, looked_at=lacking, remedy=cluster.addressed(remedy))


def _renew_lost_slot(instance: Instance) -> None:
    """A slot that has lost WAL cannot be used again."""
    query = "select wal_status from pg_replication_slots where slot_name = %s"
    if db.row(instance.upstream.address, query, [instance.slot]).get("wal_status") == "lost":
        drop_slot(instance.upstream, instance.slot).do(silently)


def _above(cluster: Cluster, name: str) -> list[str]:
    """The instances that this one follows, directly or not."""
    found = []
    while name in cluster.topology.upstreams:
        name = cluster.topology.upstreams[name]
        found.append(name)
    return found


def _renew_promise(cluster: Cluster) -> None:
    """Step, where a promise names other instances than there are now: who came confirms, too."""
    method, primary = cluster.topology.synchronous, cluster.primary
    if not method or not primary.runs_as_primary():  # `pgrepl run` puts it right then
        return
    act = promises.action(primary, method, promises.standbys(cluster, primary.name))
    if not act.done():
        cluster.perform(t("Commits wait for {method}", method=method), act)
