"""The certificates in `secrets/`: of the cluster's own authority, or its user's (manual, 19.9.5).

They are `ca.key` and `ca.crt`, `NAME.key` and `NAME.crt`; the key of a user's authority is not.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...cluster.project import Project
from ...doors import files
from ...engine import secret
from ...engine.action import Action, Tell
from ...engine.secret import AUTHORITY
from ...errors import StepFailed
from ...words.text import mark, t
from . import issuing, own, verifying
from .issuing import LOCAL, YEARS, Pair

OWNER = AUTHORITY.removesuffix(".crt")
EC = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
NO_KEY = mark("The authority's key, {file}, {wrong}.")
ANOTHER = mark(
    "put it back from a copy, then run again; or make another authority: "
    "`pgrepl rotate certificates --authority`"
)


def action(cluster: Project, names: Sequence[str]) -> Action:
    """Make the authority, and certificates for these instances, where they are missing."""
    folder = cluster.folder / "secrets"
    owners = [OWNER, *names]

    def make() -> None:
        missing = _missing(folder, owners)
        own.require(cluster, [name for name in missing if name != OWNER])
        for owner in missing:
            put(cluster, owner)

    def do(tell: Tell) -> None:
        make()
        cluster.engine.prepare()  # hands them to the server's user

    def done() -> bool:
        return not _missing(folder, owners)

    typed = (f"[ -s secrets/{o}.crt ] || {command(cluster, o)}" for o in owners)
    return Action((*typed, *cluster.engine.hand_over("secrets")), do, done, leaves=make)


def put(cluster: Project, owner: str) -> None:
    """A new key, and its certificate, in the place of what is there."""
    write(cluster.folder / "secrets", owner, new(cluster, owner))


def new(cluster: Project, owner: str) -> Pair:
    """The next key and certificate: what the user brings along, else made."""
    if cluster.params.certificates:
        return own.pair(cluster, owner)
    if owner == OWNER:
        return issuing.authority(cluster.params.project)
    return issuing.instance(owner, signer(cluster))


def write(folder: Path, owner: str, pair: Pair) -> None:
    """The key first: what has a certificate is complete. An authority may keep its key."""
    if pair.key:
        files.write_atomic(folder / f"{owner}.key", pair.key, 0o600)
    files.write_atomic(folder / f"{owner}.crt", pair.certificate, 0o600)


def forget(cluster: Project, name: str) -> None:
    """An instance is gone for good: whoever has its name later gets others."""
    for kind in ("crt", "key"):
        files.remove(cluster.folder / "secrets" / f"{name}.{kind}")


def present(cluster: Project, owner: str) -> Pair:
    """What is there now."""
    folder = cluster.folder / "secrets"
    return Pair(
        secret.look(folder / f"{owner}.key").text, secret.look(folder / f"{owner}.crt").text
    )


def signer(cluster: Project) -> Pair:
    """The authority that signs: of those that are trusted, the one whose key is there.

    Raises `StepFailed` where none is.
    """
    folder = cluster.folder / "secrets"
    found, wrong = secret.look(folder / f"{OWNER}.key"), t("fits no certificate in secrets/ca.crt")
    for each in verifying.read(secret.content(folder / AUTHORITY)):
        if verifying.fits(found.text, text := verifying.pem([each])):
            return Pair(found.text, text)
    if found.wrong:
        wrong = t(found.wrong)
    cause = t(NO_KEY, file=f"secrets/{OWNER}.key", wrong=wrong)
    raise StepFailed(cause, remedy=cluster.addressed(t(ANOTHER)))


def command(cluster: Project, owner: str, *, file: str = "", days: int = issuing.DAYS.days) -> str:
    """What a person would type for a new one (OpenSSL 3).

    file: of another name than its owner. days: that it is valid.
    """
    place = f"secrets/{file or owner}"
    if given := cluster.params.certificates:
        kinds = ["key", "crt"] if owner != OWNER else ["crt"]
        given = shlex.quote(given)
        copies = (f"install -m 600 {given}/{owner}.{kind} {place}.{kind}" for kind in kinds)
        return " && ".join(copies)
    out = f"-keyout {place}.key -out {place}.crt"
    signed, names = "-CA secrets/ca.crt -CAkey secrets/ca.key", _names(owner)
    more = f"-days {days} -addext basicConstraints=critical,CA:FALSE"
    request = f"{signed} {EC} {more} -addext subjectAltName={names} -subj /CN={owner} {out}"
    if owner == OWNER:
        subject = f'"/CN={owner}/serialNumber=$(openssl rand -hex 4)"'
        request = f"{EC} -days {YEARS.days} -subj {subject} {out}"
    return f"(umask 077; openssl req -x509 {request})"


def _missing(folder: Path, owners: Iterable[str]) -> list[str]:
    """Whose key or certificate is not there, or whose do not fit: they are two files.

    Of the authority, the certificate is enough.
    """
    return [owner for owner in owners if not _whole(folder, owner)]


def _whole(folder: Path, owner: str) -> bool:
    found = secret.look(folder / f"{owner}.crt")
    if owner == OWNER or found.absent:
        return not found.absent
    key = secret.look(folder / f"{owner}.key")
    return not key.absent and verifying.fits(key.text, found.text)


def _names(owner: str) -> str:
    """By which its clients name it; the address also as a name, as libpq up to 14 looks for it."""
    return f"DNS:{owner},DNS:localhost,DNS:{LOCAL},IP:{LOCAL}"
