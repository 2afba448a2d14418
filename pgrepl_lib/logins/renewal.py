"""A new password for the replication user, made once however often its change is begun.

It stands in a file of its own until all know it, and nobody is connected any more who came without
it: whoever goes on with an interrupted change finds it there, and makes no third one.
"""

from __future__ import annotations

import secrets
from functools import partial

from ..cluster.project import Project
from ..doors import files
from ..engine.action import Action, Tell
from . import passwords

NEXT = "replication.new"
MADE = f"[ -s secrets/{NEXT} ] || (umask 077; openssl rand -hex 16 > secrets/{NEXT})"
TAKEN = f"cat secrets/{NEXT} > secrets/replication"
KEPT = f"cp -p secrets/replication secrets/{NEXT}"
FORGOTTEN = f"rm secrets/{NEXT}"


def begun(cluster: Project) -> bool:
    """Whether a change has begun that has not ended."""
    return files.there(cluster.folder / "secrets" / NEXT)


def action(cluster: Project) -> Action:
    """The new password in the place of the old one, and in the files that programs read."""
    folder = cluster.folder / "secrets"
    new, current, known = folder / NEXT, folder / "replication", passwords.action(cluster)

    def make() -> None:
        if not begun(cluster):
            files.write_atomic(new, f"{secrets.token_hex(16)}\n", 0o600)
        files.write_atomic(current, files.text(new), 0o600)

    def do(tell: Tell) -> None:
        make()
        known.do(tell)

    def leaves() -> None:
        make()
        known.leaves()

    def done() -> bool:
        return begun(cluster) and files.text(new) == files.text(current) and known.done()

    return Action((MADE, TAKEN, *known.commands), do, done, leaves=leaves)


def first_action(cluster: Project) -> Action:
    """The first password of a cluster that had none; of a change that has begun, the new one."""
    if begun(cluster):
        return action(cluster)
    return Action.sequence([passwords.action(cluster), _kept(cluster)])


def _kept(cluster: Project) -> Action:
    """The password is also where it stands until all know it."""
    folder = cluster.folder / "secrets"

    def keep() -> None:
        files.write_atomic(folder / NEXT, files.text(folder / "replication"), 0o600)

    def do(tell: Tell) -> None:
        keep()

    return Action((KEPT,), do, partial(begun, cluster), leaves=keep)


def forget(cluster: Project) -> None:
    """All know the new password: the change has ended."""
    files.remove(cluster.folder / "secrets" / NEXT)
