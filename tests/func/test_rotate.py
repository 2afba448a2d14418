"""`pgrepl rotate password`: a new replication password while replication goes on, also after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.engine.action import PASSFILE
from pgrepl_lib.operations.security import rotating
from pgrepl_lib.steps.doing import Doing
from pgrepl_lib.steps.replicas import add

from ..conftest import DOCUMENT, MakeCluster
from .operated import again, everything_recorded, failed_checks, make, wait_caught_up
from .running import of_cluster, pgrepl


def secret(cluster: Cluster) -> str:
    return (cluster.folder / "secrets/replication").read_text().strip()


def log_in(cluster: Cluster, password: str) -> None:
    at = cluster.primary.address
    words: dict[str, Any] = {"host": at.host, "port": at.port, "user": "repl", "password": password}
    psycopg.connect(**words, replication="true", autocommit=True).close()


@pytest.mark.long_on_docker
def test_all_get_it_while_replication_goes_on(engine_name: str, open_with: MakeCluster) -> None:
    """Two replicas, and one that follows a replica and is stopped meanwhile."""
    made = make(open_with, engine_name, replicas=2)
    last = add(made, "replica").name
    values, old = of_cluster(made), secret(made)
    before = everything_recorded(made)
    planned = pgrepl("rotate password --plan", values)
    assert planned.returncode == 0 and "secrets/replication.new" in planned.stdout
    assert everything_recorded(made) == before and old not in planned.stdout
    made.instance(last).stop()
    writer = Writer(again(made, open_with)).start()
    done = pgrepl("rotate password", values)
    assert done.returncode == 0, done.stderr
    new = secret(made)
    assert new != old and not (made.folder / "secrets/replication.new").exists()
    assert new not in done.stdout + done.stderr
    now = again(made, open_with)
    now.instance(last).start()
    wait_caught_up(now)
    assert writer.stop().lost == 0
    writer.forget()
    log_in(now, new)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        log_in(now, old)
    assert failed_checks(now) == {}
    assert pgrepl("rotate password", values).returncode == 0 and secret(made) not in (old, new)


class Killed(BaseException):
    """What a process that is killed does not catch."""


def test_an_interrupted_one_is_finished_with_the_same_password(
    open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each of its steps, also between two replicas; meanwhile all that run go on."""
    made = make(open_with, "local", replicas=2)
    old, seen, does = secret(made), set[str](), Doing.do
    for number in range(5):
        left = [number]

        def dies(hands: Doing, *given: Any, left: list[int] = left) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return does(hands, *given)

        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(Doing, "do", dies)
            rotating.password(again(made, open_with))
        now = again(made, open_with)
        seen.add(secret(now))
        assert all(replica.streams()[0] for replica in now.replicas), number
    done = pgrepl("rotate password", of_cluster(made))
    assert done.returncode == 0 and "interrupted is finished" in done.stdout, done.stderr
    assert seen == {old, secret(made)}
    now = again(made, open_with)
    for replica in now.replicas:
        replica.stop()
        replica.start()
    assert failed_checks(now) == {}
    log_in(now, secret(made))


def test_a_run_finishes_it_as_well(open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(open_with, "local", replicas=2)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(rotating, "handed_action", dies_at_once)
        rotating.password(made)
    done = pgrepl("run", of_cluster(made))
    assert done.returncode == 0, done.stderr
    new = made.folder / "secrets/replication.new"
    assert_ended(made, open_with)
    new.write_text("begun and not yet taken\n")
    assert pgrepl("run", of_cluster(made), "--to", "00").returncode == 0
    assert secret(made) == "begun and not yet taken"
    assert_ended(made, open_with)


def assert_ended(made: Cluster, open_with: MakeCluster) -> None:
    for name in made.topology.replicas:
        passfile = Path(made.engine.protected(name, PASSFILE))
        assert secret(made) in passfile.read_text()
    log_in(made, secret(made))
    assert failed_checks(again(made, open_with)) == {}
    assert not list(made.folder.glob("secrets/*.new"))


def test_the_primary_is_lost_in_the_middle(
    open_with: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its successor learns the password that the others have, or are given now."""
    made = make(open_with, "local", replicas=2)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(rotating.replication_user, "action", dies_at_once)
        rotating.password(made)
    again(made, open_with).primary.kill()
    values = of_cluster(made)
    for command in ("failover --yes", "rotate password", "rejoin primary --yes"):
        done = pgrepl(command, values)
        assert done.returncode == 0 and "left behind" not in done.stderr, done.stderr
        assert all(replica.streams()[0] for replica in again(made, open_with).replicas), command
    now = again(made, open_with)
    assert len(now.replicas) == 2 and failed_checks(now) == {}
    log_in(now, secret(now))


def dies_at_once(*given: Any, **more: Any) -> None:
    raise Killed


def test_without_a_password_there_is_none_to_change(open_with: MakeCluster) -> None:
    made = open_with("local", **DOCUMENT)
    made.prepare()
    refused = pgrepl("rotate password", of_cluster(made))
    assert refused.returncode == 2 and "--auth-method scram-sha-256` gives them" in refused.stderr
