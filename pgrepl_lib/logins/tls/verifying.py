"""What speaks against a certificate: `cryptography` judges it, as OpenSSL in a server would."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ...doors import db
from ...words.text import t

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.verification import Policy, PolicyBuilder, Subject

ANSWER_SECONDS = 5
Pems = str  # one certificate or several


def read(text: Pems) -> list[x509.Certificate]:
    """The certificates of a file; none where it holds none."""
    from cryptography import x509

    with suppress(ValueError):
        return x509.load_pem_x509_certificates(text.encode())
    return []


def pem(certificates: Iterable[x509.Certificate]) -> Pems:
    """The other way round."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def fits(key: str, certificate: Pems) -> bool:
    """Whether a key is a certificate's: the first one's, of several."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with suppress(ValueError, TypeError):  # a TypeError for a key that asks for a passphrase
        public = load_pem_private_key(key.encode(), None).public_key()
        return [public] == [each.public_key() for each in read(certificate)[:1]]
    return False


def roots(text: Pems) -> list[x509.Certificate]:
    """Those that are signed by themselves: OpenSSL takes no chain that ends before one."""
    return [each for each in read(text) if issued(each, each)]


def issued(by: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether one has signed another."""
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def over(text: Pems, until: datetime) -> str:
    """Which of them is not valid until then; empty where all are."""
    ends = [each.not_valid_after_utc for each in read(text)]
    if ends and min(ends) < until:
        return t("valid until {day}", day=f"{min(ends):%Y-%m-%d}")
    return ""


def wrong(shown: Pems, authority: Pems, hosts: Sequence[str], until: datetime) -> str:
    """What speaks against a certificate, in words; empty for one that is good.

    shown: with what leads from it to a root of `authority`. hosts: the names and addresses by which
    others look for it. until: how long it has to be valid.
    """
    leaf, between = read(shown)[:1], [*read(shown)[1:], *read(authority)]
    if not leaf:
        return t("no certificate")
    if ends := over(shown, until):
        return ends
    policies = _policies(roots(authority))
    if why := _why(policies, None, leaf[0], between):
        return t("not accepted with the authority's certificate ({why})", why=why)
    for host in hosts:
        if _why(policies, _subject(host), leaf[0], between):
            return t("for another name; it needs {host}", host=_said(host))
    return ""


def shown_by(at: db.Address) -> Pems:
    """The certificate that a server shows to whoever comes; empty where it shows none."""
    with suppress(OSError), socket.create_connection((at.host, at.port), ANSWER_SECONDS) as opened:
        inside = db.encrypted(opened)
        if isinstance(inside, ssl.SSLSocket):
            with inside:
                return ssl.DER_cert_to_PEM_cert(inside.getpeercert(True) or b"")
    return ""


def shows(at: db.Address, certificate: Pems) -> bool:
    """Whether a server shows this certificate: the first one, of several."""
    wanted = read(certificate)[:1]
    return bool(wanted) and read(shown_by(at)) == wanted


def _policies(trusted: list[x509.Certificate]) -> PolicyBuilder:
    """OpenSSL's rules rather than those of the web, which ask for more."""
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

    any_way, permit = Criticality.AGNOSTIC, ExtensionPolicy.permit_all()
    signs = permit.require_present(x509.BasicConstraints, any_way, None)
    own = permit.require_present(x509.SubjectAlternativeName, any_way, None)
    own = own.may_be_present(x509.ExtendedKeyUsage, any_way, _require_usage)
    found = PolicyBuilder().time(datetime.now(UTC)).store(Store(trusted))
    return found.extension_policies(ca_policy=signs, ee_policy=own)


def _require_usage(
    policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    """An instance is a server to some, and a client to others."""
    if usage is not None and policy.extended_key_usage not in usage:
        raise ValueError(t("not for servers and clients alike"))


def _why(
    policies: PolicyBuilder,
    subject: Subject | None,
    leaf: x509.Certificate,
    between: list[x509.Certificate],
) -> str:
    """Why it is refused, in the library's words. subject: as a server; None: as a client."""
    from cryptography.x509.verification import VerificationError

    try:
        if subject is None:
            policies.build_client_verifier().verify(leaf, between)
        else:
            policies.build_server_verifier(subject).verify(leaf, between)
    except VerificationError as error:
        return str(error).partition(" (encountered")[0]
    return ""


def _subject(host: str) -> Subject:
    """A leading `DNS:` for an address that is looked for as a name, as libpq up to 14 does."""
    from cryptography import x509

    with suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host.removeprefix("DNS:"))


def _said(host: str) -> str:
    """As `subjectAltName` has it."""
    with suppress(ValueError):
        return f"IP:{ip_address(host)}"
    return f"DNS:{host.removeprefix('DNS:')}"
