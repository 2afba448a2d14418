"""The primary dies in the middle of a record: nobody can ever replay what was received last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.operations.failover import Failover
from pgrepl_lib.operations.rejoin.rejoin import Rejoin
from pgrepl_lib.operations.standing import look, settled
from tests.conftest import MakeCluster
from tests.func.operated import crash, failed_checks, make

SEGMENT = 16 * 1024**2
MEGABYTES = 96  # one record, sent segment by segment while it is written


@pytest.fixture(scope="module")
def cluster(engine_name: str, open_with: MakeCluster) -> Cluster:
    # so that the record's parts are flushed, and sent, only where a segment ends
    return make(open_with, engine_name, settings={"wal_writer_delay": "10s"})


@contextmanager
def one_large_record(cluster: Cluster) -> Iterator[None]:
    """A record of many segments is being written; the block ends the server that does it."""
    at = cluster.primary.address
    query = "select pg_logical_emit_message(false, 'pgrepl', repeat('x', %s))"

    def work() -> None:
        with suppress(psycopg.Error), db.connect(at) as connection:
            connection.execute(query, [MEGABYTES * 1024**2])

    thread = Thread(target=work)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def received_a_part(cluster: Cluster) -> tuple[bool, str]:
    found = [look(replica) for replica in cluster.replicas]
    return all(f.received > f.replayed and f.received % SEGMENT == 0 for f in found), str(found)


@pytest.mark.long_on_docker
def test_where_what_was_received_ends_inside_a_record_the_failover_ends(cluster: Cluster) -> None:
    db.rows(cluster.primary.address, "create table kept as select 7 as n")
    with one_large_record(cluster):
        wait_until("a part of it", lambda: received_a_part(cluster), seconds=30)
        crash(cluster, "primary")
    for seen in settled(cluster):
        assert seen.recovery.received > seen.recovery.replayed > 0, "not killed inside the record"
    Failover(cluster).run()
    assert failed_checks(cluster, "one-primary", "streaming", "slot", "tables") == {}
    Rejoin(cluster, "primary", full_copy=True).run()
    assert failed_checks(cluster) == {}
    for name in cluster.topology.names:
        assert db.row(cluster.instance(name).address, "select n from kept") == {"n": 7}
