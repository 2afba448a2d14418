"""A cluster that was made without TLS is brought there and back, while it replicates and somebody writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import SET_UP
from pgrepl_lib.doors import db
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.logins import public
from pgrepl_lib.operations.security import securing
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.steps.planning import changes, only_planned
from tests.conftest import MakeCluster, set_up_primary, set_up_replica
from tests.func.operated import again, failed_checks, make
from tests.func.relay import row_in_clear

PROVES = "select conninfo like '%sslmode=verify-full%' as proves from pg_stat_wal_receiver"
STREAM = """
select ssl from pg_stat_replication join pg_stat_ssl using (pid) where application_name = %s"""


class Stopped(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name, auth_method="scram-sha-256")


def steps_of(cluster: Cluster, work: Callable[[Cluster], None]) -> list[str]:
    """What is planned, then done, with the same outcome."""
    with only_planned(cluster) as planned:
        work(cluster)
    before = len(list(cluster.journal.entries()))
    work(cluster)
    done = [e for e in [*cluster.journal.entries()][before:] if e["kind"] == "step"]
    changed = [e["title"] for e in done if e["outcome"] == "changed"]
    assert [p.title for p in changes(planned)] == changed
    return changed


def assert_secured(cluster: Cluster, on: bool, quiet: bool = True) -> None:
    assert failed_checks(cluster, *(SET_UP if quiet else ["streaming", "slot", "login"])) == {}
    assert cluster.params.tls == ("on" if on else "off")
    for replica in cluster.replicas:
        assert db.row(replica.address, PROVES) == {"proves": on}
        assert db.row(replica.upstream.address, STREAM, [replica.application_name]) == {"ssl": on}
    at = vars(cluster.primary.address) | {"dbname": "postgres", "sslmode": "disable"}
    if not on:
        psycopg.connect(**at).close()
        return
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(**at)
    assert public.open_in(cluster.primary.address) == []


def test_it_is_brought_there_and_back_under_a_writer(made: Cluster, open_with: MakeCluster) -> None:
    cluster = again(made, open_with)
    writer = Writer(cluster).start()
    writer.wait_rows(20)
    assert steps_of(cluster, securing.secure)
    assert_secured(cluster, on=True, quiet=False)
    assert steps_of(again(made, open_with), securing.secure) == []
    Switchover(again(made, open_with), "replica").run()
    assert_secured(cluster := again(made, open_with), on=True, quiet=False)
    assert not row_in_clear(cluster)
    assert steps_of(cluster, securing.undo)
    assert_secured(cluster, on=False, quiet=False)
    assert row_in_clear(cluster)
    Switchover(again(made, open_with), "primary").run()
    writer.wait_rows(20)
    report = writer.stop()
    assert (report.lost, report.doubled) == (0, 0)
    writer.forget()
    assert steps_of(again(made, open_with), securing.undo) == []


@pytest.mark.parametrize("work", [securing.secure, securing.undo], ids=["secure", "undo"])
def test_interrupted_after_any_step_it_is_finished_by_doing_it_again(
    made: Cluster, open_with: MakeCluster, work: Callable[[Cluster], None], monkeypatch: Any
) -> None:
    for most in range(1, 30):
        cluster, done = again(made, open_with), [0]
        perform = type(cluster).perform

        def stopping(
            self: Cluster,
            *given: Any,
            perform: Any = perform,
            done: list[int] = done,
            most: int = most,
        ) -> Any:
            outcome = perform(self, *given)
            done[0] += outcome == "changed"
            if done[0] >= most:
                raise Stopped
            return outcome

        with monkeypatch.context() as patch:
            patch.setattr(type(cluster), "perform", stopping)
            try:
                work(cluster)
                break
            except Stopped:
                pass
        cluster = again(made, open_with)
        assert all(r.streams()[0] for r in cluster.replicas)
    assert 1 < most < 29
    assert_secured(again(made, open_with), on=work is securing.secure)


def test_a_run_goes_on_with_what_has_begun(made: Cluster, open_with: MakeCluster) -> None:
    cluster = again(made, open_with)
    securing.undo(cluster)
    securing._record(cluster, "on")
    cluster = again(made, open_with)
    set_up_primary(cluster)
    set_up_replica(cluster)
    for replica in cluster.replicas[1:]:
        replica.encrypt()
        replica.allow_replication()
        replica.follow(replica.upstream)
        replica.start()
    assert_secured(again(made, open_with), on=True)
    securing.undo(again(made, open_with))


def test_a_parameter_alone_turns_nothing_on(made: Cluster, open_with: MakeCluster) -> None:
    with pytest.raises(ParameterError, match="other parameters") as caught:
        open_with(made.engine.name, made.params.project, tls="on")
    assert "pgrepl secure" in caught.value.remedy
    open_with(made.engine.name, made.params.project, tls="off")
