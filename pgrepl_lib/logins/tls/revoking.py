"""Certificates that the cluster's authority has revoked: a list of them, which each server reads.

There is none until one is revoked (manual, 19.9.3), and none any more once another authority is
trusted alone.
"""

from __future__ import annotations

from ...cluster.project import Project
from ...doors import files
from ...engine import secret
from . import certificates, issuing, verifying
from .issuing import Pair

LIST = "ca.crl"  # of `secrets/`
CONFIGURED = (
    r"printf '[ca]\ndefault_ca=c\n[c]\ndatabase=secrets/index.txt\ndefault_crl_days=3650\n' "
    "> secrets/ca.cnf && touch secrets/index.txt"
)


def command(name: str) -> str:
    """What a person would type for one: OpenSSL keeps an index of what was revoked."""
    signs = "-cert secrets/ca.crt -keyfile secrets/ca.key -md sha256 -config secrets/ca.cnf"
    listed = f"openssl ca {signs} -gencrl -out secrets/{LIST}"
    return f"{CONFIGURED} && openssl ca {signs} -revoke secrets/{name}.crt && {listed}"


def any_ever(cluster: Project) -> bool:
    """Whether servers read a list."""
    return files.there(cluster.folder / "secrets" / LIST)


def revoked(cluster: Project) -> list[str]:
    """The instances whose present certificate is revoked."""
    serials, found = set(_serials(cluster)), list[str]()
    for name in cluster.topology.names if serials else []:
        present = verifying.read(certificates.present(cluster, name).certificate)[:1]
        if serials & {each.serial_number for each in present}:
            found.append(name)
    return found


def revoke(cluster: Project, name: str) -> None:
    """The present certificate of an instance, besides those before."""
    new = verifying.read(certificates.present(cluster, name).certificate)[0].serial_number
    listed = issuing.revocation(certificates.signer(cluster), {*_serials(cluster), new})
    files.write_atomic(cluster.folder / "secrets" / LIST, listed, 0o600)


def also_of(cluster: Project, authority: Pair) -> None:
    """OpenSSL asks for a list of each authority that is trusted, where there is any."""
    if any_ever(cluster) and (listed := _text(cluster)).count("BEGIN") == 1:
        both = listed + issuing.revocation(authority, [])
        files.write_atomic(cluster.folder / "secrets" / LIST, both, 0o600)


def forget(cluster: Project) -> None:
    """No server reads a list any more."""
    files.remove(cluster.folder / "secrets" / LIST)


def _text(cluster: Project) -> str:
    return secret.look(cluster.folder / "secrets" / LIST).text


def _serials(cluster: Project) -> list[int]:
    from cryptography import x509

    if not any_ever(cluster):
        return []
    return [each.serial_number for each in x509.load_pem_x509_crl(_text(cluster).encode())]
