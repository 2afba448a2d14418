"""Names and passwords that need quoting, in every operation: each works with them, or is refused before anything."""

from __future__ import annotations

import json

import pytest
from psycopg import sql

from pgrepl_lib import Cluster
from pgrepl_lib.checks import lag
from pgrepl_lib.doors import db
from pgrepl_lib.drills import drills
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.operations.synchronous import set_synchronous, try_commit
from pgrepl_lib.steps.replicas import add, follow, rebuild, remove
from tests.conftest import MakeCluster

from .operated import again, failed_checks, make, wait_caught_up
from .running import of_cluster, pgrepl

pytestmark = pytest.mark.long
SIGNS = "Ré p\"l'\\@%{x}$H`,#=:|;*&<"
ODD = SIGNS + "u" * (63 - len(SIGNS.encode()))  # as many bytes as a name may have
PASSWORD = 'its $own `p@ss` %w{o}"rd", #=;|&<*~!\n'


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    begun = open_with(engine_name, replicas=2, auth_method="scram-sha-256", replication_user=ODD)
    secret = begun.folder / "secrets/replication"
    secret.parent.mkdir(parents=True)
    secret.write_text(PASSWORD)
    made = make(open_with, engine_name, project=begun.params.project)
    name = sql.Identifier(ODD)
    db.rows(made.primary.address, sql.SQL("create database {}").format(name))
    with db.connect(made.primary.address, dbname=ODD) as connection:
        connection.execute(sql.SQL("create schema {}").format(name))
        connection.execute(sql.SQL("create table {}.{} ({} int)").format(name, name, name))
        connection.execute(sql.SQL("create unlogged table {}.u (i int)").format(name))
    wait_caught_up(made)
    return made


def alone(cluster: Cluster, rows: int) -> None:
    """Rows in the odd table that nobody receives before the primary dies."""
    wait_caught_up(cluster)
    drills.cut(cluster)
    name = sql.Identifier(ODD)
    insert = sql.SQL("insert into {}.{} select generate_series(1, {})").format(name, name, rows)
    with db.connect(cluster.primary.address, dbname=ODD) as connection:
        connection.execute(insert)


def test_every_operation(made: Cluster, open_with: MakeCluster) -> None:
    def now() -> Cluster:
        return again(made, open_with)

    assert failed_checks(now()) == {}
    change = Switchover(now(), "replica")
    assert ODD in "".join(change.losses()), change.losses()
    change.run()
    assert failed_checks(now()) == {}
    set_synchronous(now(), "ANY 1")
    assert try_commit(now()) == "commit confirmed" and failed_checks(now()) == {}
    set_synchronous(now(), "")
    add(now(), upstream="replica-2")
    follow(now(), "replica-3", "replica")
    assert rebuild(now(), "replica-3") == "changed"
    assert failed_checks(now()) == {}
    remove(now(), "replica-3")
    Switchover(now(), "primary").run()
    alone(now(), 5)
    now().primary.kill()
    Failover(now()).run()
    done = pgrepl("rejoin primary --yes --json", of_cluster(made))
    assert done.returncode == 0, done.stderr
    (thrown,) = json.loads(done.stdout)["thrown_away"]
    assert (thrown["database"], thrown["table"], thrown["rows"]) == (ODD, f"{ODD}.{ODD}", 5)
    assert failed_checks(now()) == {}
    assert lag.judge(lag.now(now()), lag.Thresholds())[0] == 0


@pytest.mark.parametrize("command", ["check", "lag", "status", "run --from 03 --to 03", "report"])
def test_every_command_that_looks(made: Cluster, command: str) -> None:
    done = pgrepl(command, of_cluster(made))
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
