"""A new password for the replication user, made once however often its change is begun.

It stands in a file of its own until all know it: whoever goes on with an interrupted change finds
it there, and makes no third one.
"""

from __future__ import annotations

import secrets

from ..cluster.project import Project
from ..doors import files
from ..engine.action import Action, Tell
from . import passwords

NEXT = "replication.new"
MADE = f"[ -s secrets/{NEXT} ] || (umask 077; openssl rand -hex 16 > secrets/{NEXT})"
TAKEN = f"cat secrets/{NEXT} > secrets/replication"
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


def forget(cluster: Project) -> None:
    """All know the new password: the change has ended."""
    files.remove(cluster.folder / "secrets" / NEXT)
