"""What lies on the disk, and what anybody on this machine can read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_IMODE

import psutil

from ...cluster.members import AnyCluster
from ...doors import db
from ...engine.action import PASSFILE
from ...engine.secret import AUTHORITY, files_of, look
from ...logins.tls import own, succession, verifying
from ...postgres import tls
from ...words.text import joined, mark, t
from ..outcome import Fact
from ..registry import NotTried, running, security
from .comers import require_tls

LEFT = timedelta(days=30)
MOST = 32 * 1024**2  # bytes of a file that are looked through
DATA_MODE = "select current_setting('data_directory_mode') as mode"


@security(
    "no-password-shown",
    mark("No password stands in a setting, a process, a log, the journal or a notebook"),
    mark("change the password that was seen, and take it away there"),
    cis="1.7, 2.4, 5.1",
)
def no_password_shown(cluster: AnyCluster) -> Iterable[Fact]:
    """Looked for are the passwords of `secrets/`, word by word."""
    folder = cluster.folder / "secrets"
    known = [look(folder / n).text.strip() for n in ("superuser", "replication")]
    hidden = [text for text in known if text]
    places = {**_of_servers(cluster), **_of_processes(), **_of_files(cluster.folder)}
    found = sorted(place for place, text in places.items() if any(h in text for h in hidden))
    yield Fact("", t("nowhere"), ", ".join(found) or t("nowhere"))


@security(
    "modes",
    mark("Data, passwords and keys can be read by their server alone"),
    mark("`pgrepl run` gives them their mode and owner back"),
    manual="19.9.1, 34.16",
)
def modes(cluster: AnyCluster) -> Iterable[Fact]:
    """Data folder 0700 or 0750, files 0600; also what each server was handed, and is its own."""
    private = t("for its server alone")
    folder = cluster.folder / "secrets"
    open_ones = [p.name for p in (folder, *folder.iterdir()) if S_IMODE(p.stat().st_mode) & 0o77]
    yield Fact("", private, ", ".join(sorted(open_ones)) or private)
    for server in running(cluster):
        mode = int(db.row(server.address, DATA_MODE)["mode"], 8)
        given = files_of(server.name) if cluster.params.tls == tls.ON else {}
        if server.is_replica and cluster.params.auth_method != "trust":
            given[PASSFILE] = PASSFILE
        its_own = not mode & 0o27 and cluster.engine.give(server.name, given).done()
        yield Fact(server.name, private, private if its_own else f"{mode:04o}, {', '.join(given)}")


@security(
    "listening",
    mark("The servers listen for this machine alone"),
    mark("give it 127.0.0.1 as its address: docker-compose.yaml, or listen_addresses"),
    cis="5.2",
)
def listening(cluster: AnyCluster) -> Iterable[Fact]:
    """The ports of the instances on this machine."""
    expected = "127.0.0.1"
    try:
        found = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.Error as error:
        raise NotTried(expected, t("only root sees it on this system")) from error
    for server in running(cluster):
        port = cluster.engine.ports[server.name]
        listening_there = (c.laddr for c in found if c.laddr and c.laddr.port == port)
        seen = sorted({address.ip for address in listening_there})
        if seen:
            yield Fact(server.name, expected, ", ".join(seen))


@security(
    "certificates",
    mark("Each certificate is the authority's, for its instance, and valid for 30 days more"),
    mark("`pgrepl rotate certificates` renews them; the authority's own: with --authority"),
    manual="19.9",
)
def valid_certificates(cluster: AnyCluster) -> Iterable[Fact]:
    """Those that the servers show to whoever comes, and the authority's own."""
    expected = t("the authority's, valid for 30 days more")
    require_tls(cluster, expected)
    authority = look(cluster.folder / "secrets" / AUTHORITY).text
    until = datetime.now(UTC) + LEFT
    wrong = verifying.over(authority, until)
    if succession.begun(cluster):
        wrong = t("the change to another authority has not ended")
    yield Fact("", expected, wrong or expected)
    for server in running(cluster):
        shown = verifying.shown_by(server.address) + _between(cluster, server.name)
        wrong = verifying.wrong(shown, authority, own.hosts(cluster, server.name), until)
        yield Fact(server.name, expected, wrong or expected)


def _between(cluster: AnyCluster, name: str) -> str:
    """What a server shows beside its certificate: what leads from there to the authority's."""
    chain = verifying.read(look(cluster.folder / "secrets" / f"{name}.crt").text)
    return verifying.pem(chain[1:])


def _of_servers(cluster: AnyCluster) -> dict[str, str]:
    query = "select string_agg(setting, ' ') as text from pg_settings"
    found: dict[str, str] = {}
    for server in running(cluster):
        text = str(db.row(server.address, query)["text"])
        found[joined(" ", [server.name, "pg_settings"])] = text
        found[joined(" ", [server.name, t("log")])] = cluster.engine.log_tail(server.name)
    return found


def _of_processes() -> dict[str, str]:
    """The command lines of all, and the environments of this user's own: nobody else reads those.

    The image's first start hands its server the superuser's password that way.
    """
    found, me = {}, os.getuid()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            told = list(process.cmdline())
            if process.uids().real == me:
                told += process.environ().values()
            found[f"{process.name()} ({process.pid})"] = " ".join(told)
    return found


def _of_files(folder: Path) -> dict[str, str]:
    """What the cluster's folder holds beside `secrets/` and the data."""
    return {str(p.relative_to(folder)): p.read_text(errors="replace") for p in _looked_at(folder)}


def _looked_at(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts[0] in ("secrets", "data"):
            continue
        if path.is_file() and path.stat().st_size <= MOST:
            yield path
