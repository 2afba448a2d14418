"""The cluster's passwords: random, in files that only their reader may read (correction 1)."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..cluster.project import Project
from ..doors import files
from ..engine import secret
from ..engine.action import PASSFILE, Action, Tell
from ..errors import StepFailed
from ..words.text import mark, t
from . import superuser

# Of one's own: the same in a shell, in SQL and in a password file, and for every encoding.
USABLE = re.compile(r"(?! )[ -&(-9;-\[\]-~]+(?<! )\n*")
RULE = mark(
    "a password is one line of printable ASCII characters, without ' : \\ and without a space at "
    "an end"
)
Owners = Sequence[tuple[str, str]]  # a role and the name of its password's file


def action(cluster: Project) -> Action:
    """Make the missing passwords, and the files where PostgreSQL's programs look for them."""
    owners = _owners(cluster)
    made = kept(cluster, owners, {"pgpass": owners, PASSFILE: owners[1:]})

    def do(tell: Tell) -> None:
        _require_usable(cluster)
        if cluster.engine.has_data(cluster.topology.primary):
            superuser.settle(cluster.engine, cluster.topology.primary)
        made.do(tell)

    return replace(made, do=do)


def kept(cluster: Project, owners: Owners, password_files: Mapping[str, Owners]) -> Action:
    """Make what is missing of these passwords, and of the files that programs find them in."""
    folder = cluster.folder / "secrets"

    def do(tell: Tell) -> None:
        _make(folder, owners, password_files)
        cluster.engine.prepare()  # hands them to the server's user

    typed = "[ -s secrets/{0} ] || (umask 077; openssl rand -hex 16 > secrets/{0})"
    commands = (
        *(typed.format(name) for _, name in owners),
        *(_command(file, given) for file, given in password_files.items() if given),
        *cluster.engine.hand_over("secrets"),
    )

    done = partial(_complete, folder, owners, password_files)
    return Action(commands, do, done, leaves=partial(_make, folder, owners, password_files))


def _make(folder: Path, owners: Owners, password_files: Mapping[str, Owners]) -> None:
    """What is missing of the passwords, and the files that programs find them in."""
    made = _made(folder, owners)
    for file, given in password_files.items():
        if given:
            files.write_atomic(folder / file, _lines(given, made), 0o600)


def _made(folder: Path, owners: Owners) -> dict[str, str]:
    """The passwords, made where they are missing, by the names of their files."""
    return {name: _secret(folder / name) for _, name in owners}


def _complete(folder: Path, owners: Owners, password_files: Mapping[str, Owners]) -> bool:
    """Not where somebody has put a new password there, either."""
    if any(secret.look(folder / name).wrong for _, name in owners):
        return False
    now = {name: secret.password(folder / name) for _, name in owners}
    wanted = {f: _lines(given, now) for f, given in password_files.items() if given}
    return all(_is(folder / f, text) for f, text in wanted.items())


def _lines(owners: Owners, made: Mapping[str, str]) -> str:
    return "".join(f"*:*:*:{_escaped(user)}:{made[name]}\n" for user, name in owners)


def _is(path: Path, text: str) -> bool:
    return files.there(path) and files.content(path) == text.encode()


def _require_usable(cluster: Project) -> None:
    """Raise `StepFailed` for files that somebody has put there and that cannot be used."""
    if not (bad := unusable(cluster)):
        return
    remedy = t(
        "{rule}; remove the file: `pgrepl run` makes another, or takes back the one in use",
        rule=t(RULE),
    )
    cause = t("The password in {files} cannot be used.", files=", ".join(bad))
    raise StepFailed(cause, remedy=cluster.addressed(remedy))


def unusable(cluster: Project) -> list[str]:
    """The files of passwords that somebody has put there and that cannot be used."""
    folder = cluster.folder / "secrets"
    return [f"secrets/{name}" for _, name in _owners(cluster) if not _usable(folder / name)]


def _usable(path: Path) -> bool:
    found = secret.look(path)
    return found.absent or bool(USABLE.fullmatch(found.text))


def _owners(cluster: Project) -> Owners:
    owners = [("postgres", "superuser")]
    if cluster.params.auth_method != "trust":
        owners.append((cluster.params.replication_user, "replication"))
    return owners


def _command(file: str, owners: Owners) -> str:
    """What a person would type to write a password file (manual, 34.16)."""
    words = " ".join(
        f"""{shlex.quote(f"*:*:*:{_escaped(user)}:")} "$(cat secrets/{name})\""""
        for user, name in owners
    )
    return f"(umask 077; printf '%s%s\\n' {words} > secrets/{file})"


def _secret(path: Path) -> str:
    if secret.look(path).absent:
        files.write_atomic(path, secrets.token_hex(16) + "\n", 0o600)
    return secret.password(path)


def _escaped(user: str) -> str:
    return user.replace("\\", "\\\\").replace(":", "\\:")
