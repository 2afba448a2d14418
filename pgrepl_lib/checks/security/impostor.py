"""A server that only pretends to be one of ours: it has a certificate of another authority."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ...doors import db, files
from ...logins.tls import issuing

SECONDS = 5


@dataclass
class Impostor:
    """It listens on this machine, and remembers who went on to log in."""

    door: socket.socket
    context: ssl.SSLContext
    came: list[bytes] = field(default_factory=list)

    def serve(self) -> None:
        """One connection after the other, until the door is closed."""
        with suppress(OSError):
            while True:
                visitor, _ = self.door.accept()
                self._meet(visitor)

    def _meet(self, visitor: socket.socket) -> None:
        with suppress(OSError), visitor:
            visitor.settimeout(SECONDS)
            asked = visitor.recv(8)
            if asked != db.SSL_REQUEST:
                self.came.append(asked)
                return
            visitor.sendall(b"S")
            with self.context.wrap_socket(visitor, server_side=True) as inside:
                self.came.append(inside.recv(4096))

    def is_followed(self, conninfo: str, owner: Path) -> bool:
        """Whether libpq logs in here with these words. owner: the path of its files in `secrets/`.

        Those of the server lie where only it can read them.
        """
        words: dict[str, Any] = {
            k: str(v) for k, v in conninfo_to_dict(conninfo).items() if v is not None
        }
        words |= {"hostaddr": "127.0.0.1", "port": str(self.door.getsockname()[1])}
        mine = {"sslrootcert": owner.with_name("ca.crt"), "sslcert": owner.with_suffix(".crt")}
        mine["sslkey"] = owner.with_suffix(".key")
        words |= {k: str(path) for k, path in mine.items() if k in words}
        words.pop("passfile", None)
        with suppress(psycopg.OperationalError):
            at = db.Address(words.pop("host"), int(words.pop("port")), words.pop("user"), "x")
            db.connect(at, seconds=SECONDS, settings={}, **{"replication": "true", **words}).close()
        return any(self.came)


@contextmanager
def impersonating(folder: Path, name: str) -> Iterator[Impostor]:
    """In the block, somebody pretends to be this instance. folder: of the cluster."""
    path = folder / f".impostor-{name}.pem"
    files.write_atomic(path, "".join(issuing.self_signed(name)), 0o600)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    finally:
        files.remove(path)
    with socket.create_server(("127.0.0.1", 0)) as door:
        impostor = Impostor(door, context)
        Thread(target=impostor.serve, daemon=True).start()
        yield impostor
