"""The cluster's own certificate authority, and a certificate for each instance (manual, 19.9.5).

They lie in `secrets/`: `ca.key` and `ca.crt`, `NAME.key` and `NAME.crt`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from ..cluster.project import Project
from ..doors import files
from ..engine import secret
from ..engine.action import Action, Tell
from ..engine.secret import AUTHORITY
from ..errors import StepFailed
from ..words.text import t

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

OWNER = AUTHORITY.removesuffix(".crt")
YEARS = timedelta(days=3650)  # that the authority is valid
DAYS = timedelta(days=365)  # that an instance's certificate is
LOCAL = "127.0.0.1"  # where this machine's clients find each instance
EC = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


def action(cluster: Project, names: Sequence[str]) -> Action:
    """Make the authority, and certificates for these instances, where they are missing."""
    folder = cluster.folder / "secrets"
    owners = [OWNER, *names]

    def do(tell: Tell) -> None:
        for owner in _missing(folder, owners):
            _make(cluster, owner)
        cluster.engine.prepare()  # hands them to the server's user

    def done() -> bool:
        return not _missing(folder, owners)

    commands = (*map(_command, owners), *cluster.engine.hand_over("secrets"))
    return Action(commands, do, done, leaves=partial(_foresee, folder, owners))


def _missing(folder: Path, owners: Iterable[str]) -> list[str]:
    """Whose key or certificate is not there; of the authority, the certificate is enough."""
    wanted = {owner: [f"{owner}.crt", f"{owner}.key"] for owner in owners}
    wanted[OWNER] = [AUTHORITY]
    return [o for o, names in wanted.items() if any(secret.look(folder / n).absent for n in names)]


def _foresee(folder: Path, owners: Iterable[str]) -> None:
    for owner in owners:
        for kind in ("key", "crt"):
            files.write_atomic(folder / f"{owner}.{kind}", "to be made\n", 0o600)


def _command(owner: str) -> str:
    """What a person would type for it (OpenSSL 3)."""
    out = f"-keyout secrets/{owner}.key -out secrets/{owner}.crt"
    signed, names = "-CA secrets/ca.crt -CAkey secrets/ca.key", _names(owner)
    more = f"-days {DAYS.days} -addext basicConstraints=critical,CA:FALSE"
    request = f"{signed} {EC} {more} -addext subjectAltName={names} -subj /CN={owner} {out}"
    if owner == OWNER:
        request = f"{EC} -days {YEARS.days} -subj /CN={owner} {out}"
    return f"[ -s secrets/{owner}.crt ] || (umask 077; openssl req -x509 {request})"


def _names(owner: str) -> str:
    """By which its clients name it; the address also as a name, as libpq up to 14 looks for it."""
    return f"DNS:{owner},DNS:localhost,DNS:{LOCAL},IP:{LOCAL}"


def _make(cluster: Project, owner: str) -> None:
    """A new key, and its certificate: the authority's signs itself, and all others."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    if owner == OWNER:
        made, signer = _authority(cluster, key), key
    else:
        issuer, signer = _signer(cluster)
        made = _instance(owner, key, issuer)
    _write(cluster.folder / "secrets", owner, key, made, signer)


def _authority(cluster: Project, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    from cryptography import x509

    subject = _name(f"pgrepl {cluster.params.project}")
    made = _begun(subject, subject, key, YEARS)
    signs = x509.BasicConstraints(ca=True, path_length=0)
    return made.add_extension(signs, critical=True)


def _instance(
    owner: str, key: EllipticCurvePrivateKey, issuer: x509.Name
) -> x509.CertificateBuilder:
    from cryptography import x509

    made = _begun(_name(owner), issuer, key, DAYS)
    names = [x509.DNSName(n) for n in (owner, "localhost", LOCAL)]
    known_as = x509.SubjectAlternativeName([*names, x509.IPAddress(IPv4Address(LOCAL))])
    signs_none = x509.BasicConstraints(ca=False, path_length=None)
    return made.add_extension(known_as, critical=False).add_extension(signs_none, critical=True)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, valid: timedelta
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    made = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    return made.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + valid)


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _signer(cluster: Project) -> tuple[x509.Name, EllipticCurvePrivateKey]:
    """The authority's name and key; raises `StepFailed` where its key is not there."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    folder = cluster.folder / "secrets"
    found = secret.look(folder / f"{OWNER}.key")
    if found.wrong:
        cause = t(
            "The authority's key, {file}, {wrong}.", file="secrets/ca.key", wrong=t(found.wrong)
        )
        raise StepFailed(cause, remedy=t("put it back from a copy, then run again"))
    issuer = x509.load_pem_x509_certificate(secret.content(folder / AUTHORITY).encode())
    key = load_pem_private_key(found.text.encode(), None)
    return issuer.subject, key  # type: ignore[return-value]


def _write(
    folder: Path,
    owner: str,
    key: EllipticCurvePrivateKey,
    made: x509.CertificateBuilder,
    signer: EllipticCurvePrivateKey,
) -> None:
    """The key first: what has a certificate is complete."""
    files.write_atomic(folder / f"{owner}.key", _plain(key), 0o600)
    files.write_atomic(folder / f"{owner}.crt", _signed(made, signer), 0o600)


def _plain(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _signed(made: x509.CertificateBuilder, signer: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    return made.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def self_signed(name: str) -> bytes:
    """A key and a certificate (PEM) that claim to be this instance's; nobody has signed it."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return _plain(key) + _signed(_instance(name, key, _name(OWNER)), key)


def wrong(shown: str, authority: str, name: str, until: datetime) -> str:
    """What speaks against a certificate (PEM), in words; empty for one that is good.

    authority: its own, or several, one of which has signed it. name: of the instance that shows it;
    empty for the authority. until: how long it has to be valid.
    """
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        made = x509.load_pem_x509_certificate(shown.encode())
        signers = x509.load_pem_x509_certificates(authority.encode())
    except ValueError:
        return t("no certificate")
    if made.not_valid_after_utc < until:
        return t("valid until {day}", day=f"{made.not_valid_after_utc:%Y-%m-%d}")
    if name and name not in _known_as(made):
        return t("for another name")
    for signer in signers:
        with suppress(ValueError, InvalidSignature):
            made.verify_directly_issued_by(signer)
            return ""
    return t("signed by somebody else")


def _known_as(made: x509.Certificate) -> list[str]:
    from cryptography import x509

    with suppress(x509.ExtensionNotFound):
        found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return found.get_values_for_type(x509.DNSName)
    return []
