"""Keys and certificates as PEM, made by `cryptography`: of an authority, of the instances."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

YEARS = timedelta(days=3650)  # that the authority is valid
DAYS = timedelta(days=365)  # that an instance's certificate is
EARLIER = timedelta(minutes=5)  # that a clock may be behind
LOCAL = "127.0.0.1"  # where this machine's clients find each instance


class Pair(NamedTuple):
    """A key and its certificate."""

    key: str
    certificate: str


def authority(project: str) -> Pair:
    """A new authority, by a name that no other has: OpenSSL looks for an issuer by its name."""
    from cryptography import x509

    key, subject = _new_key(), _name(f"pgrepl {project}", secrets.token_hex(4))
    signs = x509.BasicConstraints(ca=True, path_length=0)
    made = _begun(subject, subject, key, datetime.now(UTC) + YEARS)
    return Pair(_plain(key), _signed(made.add_extension(signs, critical=True), key))


def instance(name: str, signer: Pair, until: datetime | None = None) -> Pair:
    """A new key of an instance, and its certificate. until: that it is valid; None: a year."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    issuer = x509.load_pem_x509_certificate(signer.certificate.encode()).subject
    signs: Any = load_pem_private_key(signer.key.encode(), None)
    made = _of_instance(name, issuer, key := _new_key(), until or datetime.now(UTC) + DAYS)
    return Pair(_plain(key), _signed(made, signs))


def revocation(signer: Pair, serials: Iterable[int]) -> str:
    """The authority's list of revoked certificates, for as long as it is valid itself.

    One that is over would refuse everybody.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    by, now = x509.load_pem_x509_certificate(signer.certificate.encode()), datetime.now(UTC)
    made = x509.CertificateRevocationListBuilder(by.subject, now - EARLIER, by.not_valid_after_utc)
    for number in serials:
        one = x509.RevokedCertificateBuilder(number, now - EARLIER).build()
        made = made.add_revoked_certificate(one)
    key: Any = load_pem_private_key(signer.key.encode(), None)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def self_signed(name: str) -> Pair:
    """What claims to be an instance's; no authority has signed it."""
    key = _new_key()
    made = _of_instance(name, _name("ca"), key, datetime.now(UTC) + DAYS)
    return Pair(_plain(key), _signed(made, key))


def _of_instance(
    name: str, issuer: x509.Name, key: EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    from cryptography import x509

    made = _begun(_name(name), issuer, key, until)
    names = [x509.DNSName(n) for n in (name, "localhost", LOCAL)]
    known_as = x509.SubjectAlternativeName([*names, x509.IPAddress(IPv4Address(LOCAL))])
    signs_none = x509.BasicConstraints(ca=False, path_length=None)
    return made.add_extension(known_as, critical=False).add_extension(signs_none, critical=True)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    from cryptography import x509

    made = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    begins = min(datetime.now(UTC), until) - EARLIER
    return made.not_valid_before(begins).not_valid_after(until)


def _name(common: str, serial: str = "") -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    words = {NameOID.COMMON_NAME: common, NameOID.SERIAL_NUMBER: serial}
    return x509.Name([x509.NameAttribute(oid, word) for oid, word in words.items() if word])


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _plain(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _signed(made: x509.CertificateBuilder, signer: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    return made.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
