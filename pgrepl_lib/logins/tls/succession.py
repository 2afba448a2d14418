"""A new authority in the place of the old one: both are trusted until all instances have its
certificates. Its files tell how far that is, so that whoever finds them goes on.
"""

from __future__ import annotations

from ...cluster.project import Project
from ...doors import files
from ...engine import secret
from ...engine.secret import AUTHORITY
from . import certificates, own, revoking, verifying
from .certificates import OWNER

NEW = "ca.new"
TRUSTED = f"secrets/{AUTHORITY}"
BOTH = f'both=$(cat secrets/{NEW}.crt {TRUSTED}) && echo "$both" > {TRUSTED}'
SIGNS = f"cp secrets/{NEW}.key secrets/{OWNER}.key"
ALONE = f"cp secrets/{NEW}.crt {TRUSTED}"
FORGOTTEN = f"rm -f secrets/{NEW}.key secrets/{NEW}.crt"


def begun(cluster: Project) -> bool:
    """Whether a change of the authority has begun that has not ended."""
    return files.there(cluster.folder / "secrets" / f"{NEW}.crt")


def asked(cluster: Project) -> bool:
    """Whether the user's authority is another than the trusted one."""
    given = verifying.read(own.authority(cluster))
    return bool(given) and given != verifying.read(_trusted(cluster))


def trusts_both(cluster: Project) -> bool:
    """Whether the new one is trusted as well."""
    trusted = verifying.read(_trusted(cluster))
    return all(each in trusted for each in verifying.read(_new(cluster)))


def begin(cluster: Project) -> None:
    """The new authority, made once however often its change is begun; trusted beside the old."""
    folder = cluster.folder / "secrets"
    if not begun(cluster) or asked(cluster):
        certificates.write(folder, NEW, certificates.new(cluster, OWNER))
    new = verifying.read(_new(cluster))
    old = [each for each in verifying.read(_trusted(cluster)) if each not in new]
    files.write_atomic(folder / AUTHORITY, verifying.pem([*new, *old]), 0o600)
    revoking.also_of(cluster, certificates.present(cluster, NEW))


def sign(cluster: Project) -> None:
    """From now on the new one signs; of the user's, nobody does here."""
    folder = cluster.folder / "secrets"
    if (key := secret.look(folder / f"{NEW}.key").text) and begun(cluster):
        files.write_atomic(folder / f"{OWNER}.key", key, 0o600)


def due(cluster: Project, name: str) -> bool:
    """Whether an instance has not what it is to have: of the new authority, or of its user."""
    had = certificates.present(cluster, name)
    if cluster.params.certificates:
        return own.pair(cluster, name) != had
    leaf, by = verifying.read(had.certificate)[:1], verifying.read(_new(cluster))[:1]
    return not (leaf and by and verifying.issued(by[0], leaf[0]))


def trust(cluster: Project) -> None:
    """The old one is trusted no more, and so nothing needs to be revoked that it has signed."""
    revoking.forget(cluster)
    files.write_atomic(cluster.folder / "secrets" / AUTHORITY, _new(cluster), 0o600)


def forget(cluster: Project) -> None:
    """All instances have the new one's certificates and trust it alone: the change has ended."""
    folder = cluster.folder / "secrets"
    if cluster.params.certificates:
        files.remove(folder / f"{OWNER}.key")
    for kind in ("key", "crt"):
        files.remove(folder / f"{NEW}.{kind}")


def _new(cluster: Project) -> str:
    return secret.look(cluster.folder / "secrets" / f"{NEW}.crt").text


def _trusted(cluster: Project) -> str:
    return secret.look(cluster.folder / "secrets" / AUTHORITY).text
