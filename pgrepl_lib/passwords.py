"""The cluster's passwords: random, in files that only their reader may read (correction 1)."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import files
from .engine import PASSFILE, Action, Tell
from .errors import StepFailed
from .redact import register

if TYPE_CHECKING:
    from .cluster import Cluster

# Of one's own: the same in a shell, in SQL and in a password file, and for every encoding.
USABLE = re.compile(r"(?! )[ -&(-9;-\[\]-~]+(?<! )\n*")
Owners = Sequence[tuple[str, str]]  # a role and the name of its password's file


def action(cluster: Cluster) -> Action:
    """Make the passwords that are missing, and the files in which PostgreSQL's programs look for them."""
    folder, owners = cluster.folder / "secrets", _owners(cluster)
    password_files = {"pgpass": owners, PASSFILE: owners[1:]}

    def do(tell: Tell) -> None:
        if not (folder / "superuser").exists() and cluster.engine.has_data(cluster.topology.primary):
            raise _gone(cluster)
        made = {name: _secret(folder / name) for _, name in owners}
        for file, given in password_files.items():
            if given:
                files.write_atomic(folder / file, _lines(given, made), 0o600)
        cluster.engine.prepare()  # hands them to the server's user

    commands = (
        *(f"[ -s secrets/{name} ] || (umask 077; openssl rand -hex 16 > secrets/{name})" for _, name in owners),
        *(_command(file, given) for file, given in password_files.items() if given),
        *cluster.engine.hand_over("secrets"),
    )
    return Action(commands, do, lambda: _complete(folder, owners, password_files))


def _complete(folder: Path, owners: Owners, password_files: Mapping[str, Owners]) -> bool:
    """Not where somebody has put a new password there, either."""
    if not all((folder / name).exists() for _, name in owners):
        return False
    now = {name: (folder / name).read_text().strip() for _, name in owners}
    wanted = {f: _lines(given, now) for f, given in password_files.items() if given}
    return all(_is(folder / f, text) for f, text in wanted.items())


def _lines(owners: Owners, made: Mapping[str, str]) -> str:
    return "".join(f"*:*:*:{_escaped(user)}:{made[name]}\n" for user, name in owners)


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _gone(cluster: Cluster) -> StepFailed:
    remedy = f"put {cluster.folder}/secrets back from a copy, or remove the data: `pgrepl down`"
    cause = "The passwords of existing data are gone."
    return StepFailed(cause, looked_at=cluster.engine.existing(), remedy=cluster.addressed(remedy))


def unusable(cluster: Cluster) -> list[str]:
    """The files of passwords that somebody has put there and that cannot be used."""
    folder = cluster.folder / "secrets"
    return [f"secrets/{name}" for _, name in _owners(cluster) if not _usable(folder / name)]


def _usable(path: Path) -> bool:
    try:
        return bool(USABLE.fullmatch(path.read_bytes().decode("ascii")))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False


def _owners(cluster: Cluster) -> Owners:
    replication = [(cluster.params.replication_user, "replication")]
    return [("postgres", "superuser"), *(replication if cluster.params.auth_method != "trust" else [])]


def _command(file: str, owners: Owners) -> str:
    """What a person would type to write a password file (manual, 34.16)."""
    words = " ".join(f"""{shlex.quote(f"*:*:*:{_escaped(user)}:")} "$(cat secrets/{name})\"""" for user, name in owners)
    return f"(umask 077; printf '%s%s\\n' {words} > secrets/{file})"


def _secret(path: Path) -> str:
    if not path.exists():
        files.write_atomic(path, secrets.token_hex(16) + "\n", 0o600)
    return register(path.read_text().strip())


def _escaped(user: str) -> str:
    return user.replace("\\", "\\\\").replace(":", "\\:")
