"""A cluster that was made without TLS is brought there and back, while it replicates and somebody writes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from functools import partial
from typing import Any

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import SET_UP
from pgrepl_lib.doors import db
from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.engine.secret import look
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.logins import public
from pgrepl_lib.operations.security import securing
from pgrepl_lib.operations.switchover import Switchover
from pgrepl_lib.steps.planning import changes, only_planned
from tests.conftest import OPENED, MakeCluster
from tests.func.dying import Mortal, connect_anew, gets_in, is_out, replicates, watched
from tests.func.operated import again, failed_checks, make
from tests.func.relay import row_in_clear

STRIDES = {"local": 1, "docker": 5}  # of effects, between two kills
PROVES = "select conninfo like '%sslmode=verify-full%' as proves from pg_stat_wal_receiver"
WORK = """
from pgrepl_lib import open_cluster
from pgrepl_lib.operations.security.securing import secure, undo
from pgrepl_lib.steps.cluster import Cluster
prepare = Cluster.prepare
{work}(open_cluster("", **{values!r}))"""
STREAM = """
select ssl from pg_stat_replication join pg_stat_ssl using (pid) where application_name = %s"""


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


def test_it_is_brought_there_and_back_under_a_writer(made: Cluster, open_with: MakeCluster) -> None:
    cluster = again(made, open_with)
    writer = Writer(cluster).start()
    writer.wait_rows(20)
    assert steps_of(cluster, securing.secure)
    assert_secured(cluster, on=True, quiet=False)
    assert public.open_in(cluster.primary.address) == []
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


@pytest.mark.long_on_docker
@pytest.mark.parametrize("work", ["secure", "undo"])
def test_killed_again_and_again_it_weakens_nothing_and_is_finished(
    made: Cluster, open_with: MakeCluster, work: str
) -> None:
    """Later each time, from what it had left. Whoever is refused once stays so, or the other way round."""
    primary, leaf = made.primary, made.instance("replica-2")
    refused = {"strangers": partial(replicates, primary), "there": partial(replicates, leaf)}
    in_clear = partial(gets_in, sslmode="disable")
    clear = {"in clear": partial(in_clear, primary), "in clear there": partial(in_clear, leaf)}
    ours = {"ours": partial(gets_in, primary, sslmode="prefer")}
    with Mortal() as mortal, watched({**refused, **clear, **ours}) as seen:
        for effects in range(12, 99, 7):
            if not mortal.dies(effects, of(made, work)):
                break
            connect_anew(again(made, open_with))
    assert 12 < effects < 98
    on = work == "secure"
    assert seen == {
        **{name: [False] for name in refused},
        **{name: [on, not on] for name in clear},
        "ours": [True],
    }
    assert_secured(again(made, open_with), on)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_killed_after_any_effect_it_is_finished_and_locks_nobody_out(
    made: Cluster, open_with: MakeCluster
) -> None:
    """There and back each time; who streamed with the password alone is out once each needs a certificate."""
    with Mortal() as mortal:
        for effects in range(1, 150, STRIDES[made.engine.name]):
            killed = False
            for work, on in {"secure": True, "undo": False}.items():
                with closing(with_the_password_alone(made)) if on else nullcontext() as stranger:
                    killed |= mortal.dies(effects, of(made, work))
                    connect_anew(again(made, open_with))
                    mortal.finishes(of(made, "prepare" if effects % 2 else work))
                    mortal.finishes(of(made, work))
                    assert_secured(again(made, open_with), on)
                    assert not stranger or is_out(stranger), effects
            if not killed:
                break
    assert effects > 30


@pytest.mark.long_on_docker
def test_a_run_finishes_what_was_killed(made: Cluster, open_with: MakeCluster) -> None:
    """As its first chapter does it, in the order of `secure`; killed there, too, it locks nobody out."""
    with Mortal() as mortal, closing(with_the_password_alone(made)) as stranger:
        for work, on in {"secure": True, "undo": False}.items():
            assert mortal.dies(22, of(made, work))
            assert again(made, open_with).params.tls == ("on" if on else "off")
            while mortal.dies(12, of(made, "prepare")):
                connect_anew(again(made, open_with))
            now = again(made, open_with)
            for name in now.topology.names:  # as its next chapters do: what was edited is read
                now.instance(name).start()
            assert_secured(now, on)
            assert not on or is_out(stranger)


def of(made: Cluster, work: str) -> str:
    """As `pgrepl secure` does it."""
    name = made.params.project
    return WORK.format(work=work, values={**OPENED[name], "project": name})


def with_the_password_alone(made: Cluster) -> psycopg.Connection[Any]:
    at, password = made.primary.address, look(made.folder / "secrets/replication").text.strip()
    words: dict[str, Any] = {"host": at.host, "port": at.port, "user": "repl", "password": password}
    return psycopg.connect(**words, replication="true", autocommit=True)


def test_a_parameter_alone_turns_nothing_on(made: Cluster, open_with: MakeCluster) -> None:
    with pytest.raises(ParameterError, match="other parameters") as caught:
        open_with(made.engine.name, made.params.project, tls="on")
    assert "pgrepl secure" in caught.value.remedy
    open_with(made.engine.name, made.params.project, tls="off")
