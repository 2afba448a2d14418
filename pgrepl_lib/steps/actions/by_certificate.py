"""TLS for a cluster that exists, and the way back, while replication goes on.

First servers that speak it, then replicas that ask for it, then rules that refuse all others, so
that nobody is locked out on the way; back, the other way round.
"""

from __future__ import annotations

from psycopg import sql

from ...cluster import restarts
from ...cluster.server import Server
from ...doors import db
from ...doors.wait import wait_until
from ...engine.action import Action, Tell, edit_action
from ...engine.edit import Edit
from ...logins.tls import certificates, revoking
from ...params import Params
from ...postgres import tls
from ...words.text import mark, t
from .connecting import answers, connect_anew, ends_command
from .encrypting import encrypting_action, settings_edit
from .rules import admits, rules_edit
from .standby import standby_action

GO_ON = mark("Go on with TLS, or the way back, where it was interrupted")
CONNECTED = """
select conninfo like '%sslmode=verify-full%' as proves from pg_stat_wal_receiver
where status = 'streaming'"""
WAIT_SECONDS = 30
# Streams that the rule would not let in any more: they began before it.
UNPROVEN = """
from pg_stat_replication join pg_stat_ssl using (pid)
where client_serial is null and usename = {user} and client_addr <<= {network}::inet"""

# Streams that began when their server still spoke TLS.
STILL_ENCRYPTED = """
select pid from pg_stat_replication join pg_stat_ssl using (pid)
where ssl and current_setting('ssl') = 'off'"""


def needed(primary: Server) -> bool:
    """Whether TLS, or the way back, has begun and not ended: a rule or a server is as before."""
    instances, params = _all(primary), primary.cluster.params
    if params.tls == tls.OFF:
        back = all(rules_edit(each, params).done() for each in instances)
        speaks = not all(settings_edit(each, on=False).done() for each in instances)
        return back and (speaks or any(map(_still_encrypted, instances)))
    before = any(admits(each)[0] == "host" for each in instances)
    return before or any(map(_unproven, filter(answers, instances)))


def action(primary: Server) -> Action:
    """What is left of it."""
    instances, cluster = _all(primary), primary.cluster
    follow = set(cluster.topology.upstreams) - set(revoking.revoked(cluster))
    replicas = [each for each in instances if each.name in follow]
    if cluster.params.tls == tls.OFF:
        parts = [*map(following, replicas), *map(silenced, instances)]
    else:
        parts = [certificates.action(cluster, cluster.topology.names)]
        parts += [*map(encrypting_action, instances), *map(following, replicas)]
        parts += [admitting(each, cluster.params) for each in instances]

    def done() -> bool:
        return not needed(primary)

    return Action.sequence(parts, done)


def following(replica: Server) -> Action:
    """It connects again, as its file now says; one that stands does so when it starts."""
    follows = standby_action(replica, replica.upstream)
    if not replica.cluster.engine.running(replica.name):
        return follows
    reload = restarts.reload_action(replica)
    proves = replica.cluster.params.tls == tls.ON

    def connected() -> tuple[bool, str]:
        found = db.row(replica.address, CONNECTED)
        return bool(found) and found["proves"] == proves, t("connected as before")

    def do(tell: Tell) -> None:
        follows.do(tell)
        restarts.take_over(replica)
        if answers(replica.upstream):
            what = t("{name} to connect again", name=replica.name)
            wait_until(what, connected, seconds=WAIT_SECONDS)
            replica.wait_streaming()

    def done() -> bool:
        return follows.done() and reload.done() and connected()[0]

    return Action((*follows.commands, *reload.commands), do, done)


def admitting(instance: Server, params: Params) -> Action:
    """Who is let in with these parameters: with TLS, only who comes with a certificate.

    Then the streams end that began without one: ours have one by then.
    """
    edits = edited(instance, rules_edit(instance, params))
    if params.tls == tls.OFF or not answers(instance):
        return edits
    ends = f"select pg_terminate_backend(pid, 5000) {_of(instance)}"

    def do(tell: Tell) -> None:
        edits.do(tell)
        db.rows(instance.address, ends)

    def done() -> bool:
        return edits.done() and not _unproven(instance)

    typed = instance.cluster.engine.client(instance.name, "psql", "-c", f"{ends};")
    return Action((*edits.commands, typed), do, done)


def silenced(instance: Server) -> Action:
    """No TLS any more; streams that began with it begin anew."""
    edits = edited(instance, settings_edit(instance, on=False))

    def do(tell: Tell) -> None:
        edits.do(tell)
        if answers(instance):
            connect_anew(instance)

    def done() -> bool:
        return edits.done() and not _still_encrypted(instance)

    return Action((*edits.commands, ends_command(instance)), do, done)


def edited(instance: Server, edit: Edit) -> Action:
    """Its server takes the edit over at once, or when it starts."""
    if instance.cluster.engine.running(instance.name):
        return restarts.edited(instance, edit)
    return edit_action(edit)


def _all(primary: Server) -> list[Server]:
    """All that have their files, the primary first; one that stands takes them over later."""
    found = map(primary.other, primary.cluster.topology.primary_first)
    return [each for each in found if each.has_configuration()]


def _unproven(instance: Server) -> bool:
    return bool(db.rows(instance.address, f"select pid {_of(instance)}"))


def _still_encrypted(instance: Server) -> bool:
    return answers(instance) and bool(db.rows(instance.address, STILL_ENCRYPTED))


def _of(instance: Server) -> str:
    """Those of an instance."""
    user = sql.Literal(instance.cluster.params.replication_user)
    network = sql.Literal(str(instance.cluster.engine.rule_network()))
    return sql.SQL(UNPROVEN).format(user=user, network=network).as_string()
