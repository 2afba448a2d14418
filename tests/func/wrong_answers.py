"""What participants try that does not solve an exercise, and what its check then says is missing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pgrepl_lib import Cluster
from pgrepl_lib.cluster import restarts
from pgrepl_lib.doors import db
from pgrepl_lib.drills import drills
from pgrepl_lib.engine.action import CONFIGURATION
from pgrepl_lib.engine.edit import Edit
from pgrepl_lib.errors import PgreplError
from pgrepl_lib.exercises import faults, workshop
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous

Act = Callable[[Cluster], object]
Wrong = tuple[Act, set[str]]  # what is done, and the names of what the check then lacks


def sql(name: str, *statements: str) -> Act:
    """Typed on one of the instances, by whoever is asked to solve it."""

    def act(cluster: Cluster) -> None:
        for statement in statements:
            user = cluster.params.replication_user
            db.rows(cluster.instance(name).address, statement.replace("USER", user))

    return act


def read(name: str) -> Act:
    return sql(name, "select pg_reload_conf()")


def says(name: str, words: str) -> Act:
    return lambda cluster: workshop.answer(cluster, name, words)


def rule(line: str, *, unread: bool = False) -> Act:
    """A line at the beginning of the primary's pg_hba.conf."""

    def act(cluster: Cluster) -> None:
        network, user = cluster.engine.rule_network(), cluster.params.replication_user
        name, written = cluster.primary.name, line.format(network=network, user=user)
        Edit(cluster.folder, f"{name}/{CONFIGURATION[1]}", {drills.BLOCK: [written]}).write()
        if not unread:
            restarts.reload(cluster.primary)

    return act


def setting(name: str, what: str, value: str) -> Act:
    return lambda cluster: faults.alter_system(cluster.instance(name), what, value)


def conninfo_by_hand(cluster: Cluster) -> None:
    replica = cluster.replica
    faults.alter_system(replica, "primary_conninfo", replica.conninfo(replica.upstream))


def refused(act: Act) -> Act:
    """Something that pgrepl itself refuses."""

    def tried(cluster: Cluster) -> None:
        cluster.look_again()
        with suppress(PgreplError):
            act(cluster)
            raise AssertionError("it was not refused")

    return tried


def both(*acts: Act) -> Act:
    return lambda cluster: [act(cluster) for act in acts]


STREAMS = {"login", "streaming"}
SLOT = "select pg_create_physical_replication_slot('exercicio_{}', {})".format
SECOND = "replica_2_slot"

WRONG: dict[str, tuple[Wrong, Wrong, Wrong]] = {
    "missing-rule": (
        (rule("host replication {user} {network} scram-sha-256", unread=True), STREAMS | {"read"}),
        (rule("host replication postgres {network} scram-sha-256"), STREAMS),
        (rule("host replication all 0.0.0.0/0 trust"), {"rule-needed"}),
    ),
    "right-lost": (
        (rule("host replication {user} {network} scram-sha-256"), {"right"} | STREAMS),
        (sql("primary", "create role exercicio_x login replication"), {"right"} | STREAMS),
        (sql("primary", "alter role USER superuser"), {"right"}),
    ),
    "reserving-slot": (
        (sql("primary", SLOT("outro", "true")), {"slot", "reserves"}),
        (sql("primary", SLOT("arquivo", "true, true")), {"slot", "reserves"}),
        (sql("primary", SLOT("arquivo", "false")), {"reserves"}),
    ),
    "two-owners": (
        (read("replica"), {"owner", "receiver", "streaming"}),
        (sql("replica", "alter system reset primary_conninfo"), {"receiver", "streaming"}),
        (conninfo_by_hand, {"owner"}),
    ),
    "without-slot": (
        (read("replica-2"), {"slot"}),
        (setting("replica-2", "primary_slot_name", "replica_1_slot"), {"slot", "streaming"}),
        (setting("replica-2", "primary_slot_name", "replica_9_slot"), {"slot", "streaming"}),
    ),
    "cascade": (
        (sql("replica", SLOT("2", "true").replace("exercicio_2", SECOND)), {"cascade", "left"}),
        (lambda cluster: cluster.instance("replica-2").stop(), {"cascade", "left"}),
        (sql("primary", f"select pg_drop_replication_slot('{SECOND}')"), {"cascade"}),
    ),
    "changed-setting": (
        (says("changed-setting", "wal_keep_size"), {"answer", "setting"}),
        (says("changed-setting", "max_slot_wal_keep_size"), {"setting"}),
        (setting("primary", "max_slot_wal_keep_size", "1GB"), {"setting"}),
    ),
    "read-only-primary": (
        (sql("primary", "set default_transaction_read_only = off"), {"primary-writes"}),
        (setting("replica", "default_transaction_read_only", "off"), {"primary-writes"}),
        (
            sql("primary", "alter system reset default_transaction_read_only"),
            {"primary-writes"},
        ),
    ),
    "refused-write": (
        (says("refused-write", "42501"), {"answer"}),
        (says("refused-write", "25P02"), {"answer"}),
        (says("refused-write", "ERROR"), {"answer"}),
    ),
    "lagging-replica": (
        (says("lagging-replica", "replica"), {"answer", "replays"}),
        (says("lagging-replica", "replica-2"), {"replays"}),
        (
            both(
                says("lagging-replica", "primary"),
                sql("replica-2", "select pg_wal_replay_resume()"),
            ),
            {"answer"},
        ),
    ),
    "delayed-replica": (
        (sql("replica", "select pg_wal_replay_resume()"), {"delay", "caught-up"}),
        (setting("replica", "recovery_min_apply_delay", "30min"), {"delay", "caught-up"}),
        (sql("replica", "alter system reset recovery_min_apply_delay"), {"delay", "caught-up"}),
    ),
    "alarm": (
        (says("alarm", "0"), {"answer", "streaming"}),
        (says("alarm", "2"), {"streaming"}),
        (
            both(says("alarm", "1"), lambda cluster: cluster.replicas[1].start()),
            {"answer"},
        ),
    ),
    "lost-slot": (
        (lambda cluster: drills.start(cluster, "replica-2"), {"slot", "streaming", "limit"}),
        (lambda cluster: drills.limit_slots(cluster, ""), {"slot", "streaming"}),
        (
            sql(
                "primary",
                f"select pg_drop_replication_slot('{SECOND}')",
                f"select pg_create_physical_replication_slot('{SECOND}', true)",
            ),
            {"streaming"},
        ),
    ),
    "forgotten-slot": (
        (sql("primary", "checkpoint"), {"unused"}),
        (
            sql(
                "primary",
                "select pg_replication_slot_advance('exercicio_esquecido', pg_current_wal_lsn())",
            ),
            {"unused"},
        ),
        (lambda cluster: cluster.replicas[1].stop(), {"unused", "slot"}),
    ),
    "cut-off": (
        (read("primary"), STREAMS),
        (sql("primary", "select pg_terminate_backend(pid) from pg_stat_replication"), STREAMS),
        (rule("host replication all 0.0.0.0/0 trust"), {"rule-needed"}),
    ),
    "to-replica-2": (
        (lambda cluster: cluster.replica.stop(), {"primary", "streaming"}),
        (lambda cluster: cluster.replica.start(), {"primary"}),
        (sql("replica-2", "select pg_promote()"), {"primary", "one-primary", "streaming"}),
    ),
    "hindered-switchover": (
        (refused(lambda cluster: Switchover(cluster, to="replica-2").run()), {"primary"}),
        (sql("replica-2", "select pg_wal_replay_resume()"), {"primary"}),
        (lambda cluster: Switchover(cluster, to="replica").run(), {"primary"}),
    ),
    "half-done-switchover": (
        (refused(lambda cluster: cluster.replicas[1].pause_replay()), {"ended"}),
        (refused(lambda cluster: set_synchronous(cluster, "ANY 1")), {"ended"}),
        (refused(lambda cluster: Switchover(cluster, to="replica-2").run()), {"ended"}),
    ),
    "most-advanced": (
        (says("most-advanced", "replica-2"), {"answer", "primary"}),
        (refused(lambda cluster: Failover(cluster, "replica-2").require()), {"answer", "primary"}),
        (says("most-advanced", "replica"), {"primary"}),
    ),
    "lost-rows": (
        (says("lost-rows", "0"), {"answer", "back"}),
        (lambda cluster: drills.start(cluster, "primary"), {"answer", "back"}),
        (says("lost-rows", "3"), {"back"}),
    ),
    "any-one": (
        (lambda cluster: set_synchronous(cluster, "FIRST 1"), {"any"}),
        (lambda cluster: set_synchronous(cluster, "ANY 2"), {"any"}),
        (
            both(
                lambda cluster: set_synchronous(cluster, "ANY 1"),
                setting("primary", "synchronous_commit", "local"),
            ),
            {"level"},
        ),
    ),
    "hanging-commit": (
        (says("hanging-commit", "replica"), {"answer", "commits"}),
        (says("hanging-commit", "replica-2"), {"commits"}),
        (lambda cluster: set_synchronous(cluster, "ANY 1"), {"promise"}),
    ),
    "which-level": (
        (says("which-level", "on"), {"answer", "replays"}),
        (says("which-level", "remote_apply"), {"replays"}),
        (
            both(
                says("which-level", "remote_write"),
                sql("replica", "select pg_wal_replay_resume()"),
                sql("replica-2", "select pg_wal_replay_resume()"),
            ),
            {"answer"},
        ),
    ),
    "open-door": (
        (rule("host replication all 0.0.0.0/0 trust"), {"trust", "rule-needed"}),
        (rule("host all postgres 0.0.0.0/0 trust"), {"trust"}),
        (rule("host all all 0.0.0.0/0 scram-sha-256", unread=True), {"read"}),
    ),
    "too-many-rights": (
        (says("too-many-rights", "postgres"), {"answer", "right"}),
        (says("too-many-rights", "exercicio_relatorio"), {"right"}),
        (sql("primary", "alter role exercicio_relatorio nologin"), {"right", "login"}),
    ),
}
