"""The certificates that a user brings along: the folder of the parameter `certificates`.

It holds `ca.crt`, and `NAME.crt` and `NAME.key` of each instance; they are copied to `secrets/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE

from ...cluster.project import Project
from ...engine.secret import AUTHORITY, look
from ...errors import ParameterError
from ...words.text import Text, joined, mark, t
from . import verifying
from .issuing import LOCAL, Pair

UNUSABLE = mark("The certificates in {folder} cannot be used; nothing was touched.")
CORRECT = mark("correct what is named, in that folder, then do the same again")
NO_ROOT = mark("holds no root: no certificate that is signed by itself")
OPEN = mark("others may read it ({mode}): chmod 600 {file}")
PASSPHRASE = mark("cannot be read as a key without a passphrase, or is another certificate's")


def pair(cluster: Project, owner: str) -> Pair:
    """An owner's key and certificate; of the authority the certificate alone, whatever is there."""
    folder, key = Path(cluster.params.certificates), ""
    if f"{owner}.crt" != AUTHORITY:
        key = look(folder / f"{owner}.key").text
    return Pair(key, look(folder / f"{owner}.crt").text)


def authority(cluster: Project) -> str:
    """The certificates of the user's authority; empty where he brings none."""
    if not cluster.params.certificates:
        return ""
    return look(Path(cluster.params.certificates) / AUTHORITY).text


def require(cluster: Project, names: Sequence[str], given: str | None = None) -> None:
    """Raise `ParameterError` for what speaks against those of these instances: all at once.

    given: the folder that is to be used; None: the one that is.
    """
    if given is None:
        given = cluster.params.certificates
    if not (names and given):
        return
    folder = Path(given)
    trusted, found = look(folder / AUTHORITY), list[Text]()
    if trusted.wrong:
        found.append(joined(" ", [AUTHORITY, t(trusted.wrong)]))
    elif not verifying.roots(trusted.text):
        found.append(joined(" ", [AUTHORITY, t(NO_ROOT)]))
    for name in names:
        found += _of_instance(cluster, folder, name, trusted.text)
    if found:
        cause = t(UNUSABLE, folder=folder)
        raise ParameterError(cause, looked_at=found, remedy=cluster.addressed(t(CORRECT)))


def _of_instance(cluster: Project, folder: Path, name: str, trusted: str) -> Iterator[Text]:
    """What speaks against one's key and certificate."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    shown, kept = look(certificate), look(key)
    for path, found in ((certificate, shown), (key, kept)):
        if found.wrong:
            yield joined(" ", [path.name, t(found.wrong)])
    if not kept.wrong and (mode := S_IMODE(key.stat().st_mode)) & 0o77:
        yield joined(": ", [key.name, t(OPEN, mode=f"{mode:04o}", file=key)])
    if shown.wrong or not verifying.roots(trusted):
        return
    if why := verifying.wrong(shown.text, trusted, hosts(cluster, name), datetime.now(UTC)):
        yield joined(": ", [certificate.name, why])
    elif not kept.wrong and not verifying.fits(kept.text, shown.text):
        yield joined(": ", [key.name, t(PASSPHRASE)])


def hosts(cluster: Project, name: str) -> list[str]:
    """By which replicas, and this machine's clients, look for an instance."""
    first = cluster.engine.upstream(name)[0]
    if cluster.params.pg_version < 15 and first == LOCAL:  # libpq then takes it for a name
        first = f"DNS:{first}"
    return [first, LOCAL]
