"""What goes over the wire between a replica and its upstream, kept by a relay that it is led through."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator
from threading import Thread

from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.doors.wait import wait_until
from pgrepl_lib.steps.instance import Instance

from .operated import wait_caught_up

CONNECTED = "select status, sender_port as port from pg_stat_wal_receiver"


def row_in_clear(cluster: Cluster) -> bool:
    """Whether a row that is written now can be read by whoever listens between primary and first replica."""
    row, primary = f"row {secrets.token_hex(16)}", cluster.primary.address
    with led_through(cluster.replicas[0]) as wire:
        db.rows(primary, sql.SQL("create table heard as select {} as said").format(row))
        wait_caught_up(cluster)
        assert db.rows(cluster.replicas[0].address, "select * from heard") == [{"said": row}]
        db.rows(primary, "drop table heard")
    assert len(wire) > 1000, "nothing went through the relay"
    return row.encode() in wire


@contextlib.contextmanager
def led_through(replica: Instance) -> Iterator[bytearray]:
    """All bytes of its stream, in both directions; it knows its upstream by the same name as before."""
    wire, at = bytearray(), replica.upstream.address
    host = "127.0.0.1"
    if replica.cluster.engine.name == "docker":  # where containers find this machine
        host = str(next(replica.cluster.params.network.hosts()))
    with socket.create_server((host, 0)) as relay:
        Thread(target=_accept, args=(relay, (at.host, at.port), wire), daemon=True).start()
        port = relay.getsockname()[1]
        conninfo = make_conninfo(replica.conninfo(replica.upstream), hostaddr=host, port=port)
        _connect_by(replica, sql.SQL("set primary_conninfo = {}").format(conninfo), port)
        try:
            yield wire
        finally:
            direct = replica.cluster.engine.upstream(replica.upstream.name)[1]
            _connect_by(replica, sql.SQL("reset primary_conninfo"), direct)


def _connect_by(replica: Instance, change: sql.Composable, port: int) -> None:
    """It connects anew, to this port."""
    db.rows(replica.address, sql.SQL("alter system {}").format(change))
    db.rows(replica.address, "select pg_reload_conf()")

    def connected() -> tuple[bool, object]:
        found = db.row(replica.address, CONNECTED)
        return found == {"status": "streaming", "port": port}, found

    wait_until("the relay", connected, seconds=20)


def _accept(relay: socket.socket, upstream: tuple[str, int], wire: bytearray) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            near, far = relay.accept()[0], socket.create_connection(upstream)
            for pair in ((near, far), (far, near)):
                Thread(target=_pass_on, args=(*pair, wire), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket, wire: bytearray) -> None:
    with contextlib.suppress(OSError), one, other:
        while some := one.recv(65536):
            wire += some
            other.sendall(some)
