"""A cluster made with `trust` is taken over: told, planned, nobody locked out on the way, and who has no password is out."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg
import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.cluster import restarts
from pgrepl_lib.cluster.server import Server
from pgrepl_lib.doors import db

from ..conftest import DOCUMENT, OPENED, MakeCluster
from .operated import everything_recorded, failed_checks, make
from .running import of_cluster, pgrepl

PASSWORD = "--auth-method scram-sha-256"
STEP = "Let replicas log in by password, and nobody without one"
SENDERS = "select pid, application_name as name from pg_stat_replication order by 1"


@pytest.fixture
def trusting(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name, **DOCUMENT)


def as_stranger(cluster: Cluster) -> psycopg.Connection[Any]:
    """A replication connection of somebody of this machine who has no password."""
    at = cluster.primary.address
    return psycopg.connect(
        host=at.host, port=at.port, user="repl", replication="true", autocommit=True
    )


def rules(cluster: Cluster) -> set[str]:
    """The methods that the instances' rules have for the replication user."""
    found = (cluster.folder / n / "pg_hba.conf" for n in cluster.topology.names)
    lines = [line.split() for path in found for line in path.read_text("utf-8").splitlines()]
    return {words[-1] for words in lines if words[:1] == ["host"] and "repl" in words}


def with_password(made: Cluster) -> Cluster:
    """As chapter 00 opens it."""
    given = OPENED[made.params.project]
    given["auth_method"] = "scram-sha-256"
    return open_cluster("00-preparacao", project=made.params.project, **given)


def test_it_stays_as_it_is_unless_a_password_is_asked_for(trusting: Cluster) -> None:
    values = of_cluster(trusting)
    told = pgrepl("run", values)
    before = everything_recorded(trusting)
    assert told.returncode == 0 and "With trust, as in the document" in told.stderr
    assert f"{PASSWORD}` ends that" in told.stderr
    refused = pgrepl(f"check {PASSWORD}", values)
    assert refused.returncode == 2 and f"{PASSWORD}` ends trust" in refused.stderr
    planned = pgrepl(f"run --plan {PASSWORD}", values)
    assert planned.returncode == 0, planned.stderr
    changed = [line for line in planned.stdout.splitlines() if "would change" in line]
    assert [line.split("  ")[-1].strip() for line in changed if " steps " not in line] == [
        "Make the passwords, in protected files",
        STEP,
    ]
    assert planned.stdout.count("+host    replication     repl") == 3
    assert everything_recorded(trusting) == before and rules(trusting) == {"trust"}

    with closing(as_stranger(trusting)) as stranger:
        done = pgrepl(f"run {PASSWORD}", values)
        assert done.returncode == 0 and "2 steps changed" in done.stdout, done.stderr + done.stdout
        assert stranger.pgconn.exec_(b"IDENTIFY_SYSTEM").error_message, "it was ended"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        as_stranger(trusting)
    after = with_password(trusting)
    assert rules(after) == {"scram-sha-256"} and failed_checks(after) == {}
    again = pgrepl("run", values)
    assert "0 steps changed" in again.stdout and "trust" not in again.stderr, again.stdout
    weaker = pgrepl("run --auth-method trust", values)
    assert weaker.returncode == 2 and "made with scram-sha-256, asked for trust" in weaker.stderr


class Killed(BaseException):
    """What a process that is killed does not catch."""


def dies(instance: Server) -> None:
    raise Killed


def test_one_that_was_killed_locks_nobody_out_and_is_gone_on_with(
    open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each reload: of two replicas that may log in, of three rules."""
    made = make(open_with, "local", **DOCUMENT)
    for number in range(5):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(restarts, "take_over", dies)
            with_password(made).prepare()
        now = with_password(made)
        now.primary.start()
        for replica in now.replicas:
            replica.stop()
            replica.start()
            assert replica.streams()[0], number
    now = with_password(made)
    assert now.prepare() == "unchanged"
    assert rules(now) == {"scram-sha-256"} and failed_checks(now) == {}
    assert len(db.rows(now.primary.address, SENDERS)) == 2
