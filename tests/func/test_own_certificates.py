"""The user's own certificates (parameter `certificates`): taken as they are, and refused before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.checks.security.all import SECURITY
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.logins.tls import verifying
from pgrepl_lib.steps.replicas import add, remove

from ..conftest import MakeCluster
from .operated import again, failed_checks, make
from .running import of_cluster, pgrepl

NAMES = ["primary", "replica"]


class Authority:
    """A company's own: a root, and what it has signed to sign for it."""

    def __init__(self, name: str = "Empresa") -> None:
        self.root, self.root_key = certified(name, None, ca=True)
        self.signs = certified(f"{name} TI", (self.root, self.root_key), ca=True)

    def fill(self, folder: Path, *names: str) -> Path:
        """What the parameter names: the root, and for each instance its key, and its chain."""
        folder.mkdir(exist_ok=True)
        (folder / "ca.crt").write_bytes(pem(self.root))
        for name in names:
            self.give(folder, name)
        return folder

    def give(self, folder: Path, name: str, **values: Any) -> None:
        names = values.pop("names", [name, "127.0.0.1"])
        made, key = certified(name, self.signs, names=names, **values)
        (folder / f"{name}.crt").write_bytes(pem(made) + pem(self.signs[0]))
        secret(folder / f"{name}.key", key)


def certified(
    name: str, by: Any, *, ca: bool = False, names: Any = (), days: float = 20, usage: Any = ()
) -> Any:
    key: Any = (
        rsa.generate_private_key(65537, 2048) if ca else ec.generate_private_key(ec.SECP256R1())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signs = (by[0].subject, by[1]) if by else (subject, key)
    number, now = x509.random_serial_number(), datetime.now(UTC)
    made = x509.CertificateBuilder(issuer, subject, key.public_key(), number)
    made = made.not_valid_before(now - timedelta(days=2)).not_valid_after(
        now + timedelta(days=days)
    )
    made = made.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if names:
        known: Any = [x509.DNSName(n) for n in names]
        known += [x509.IPAddress(ip_address(n)) for n in names if n[0].isdigit()]
        made = made.add_extension(x509.SubjectAlternativeName(known), critical=False)
    if usage:
        made = made.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    return made.sign(signs, hashes.SHA256()), key


def pem(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


def secret(path: Path, key: Any, password: bytes = b"") -> None:
    form, hidden = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    locked = serialization.BestAvailableEncryption(password) if password else hidden
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
    path.chmod(0o600)


def issuers(cluster: Cluster) -> set[str]:
    """Who has signed what the servers show."""
    shown = (verifying.shown_by(cluster.instance(n).address) for n in cluster.topology.names)
    return {each.issuer.rfc4514_string() for text in shown for each in verifying.read(text)}


@pytest.mark.long_on_docker
def test_a_cluster_has_them_from_nothing_on_and_takes_renewed_ones(
    engine_name: str, open_with: MakeCluster, tmp_path: Path
) -> None:
    company = Authority()
    folder = company.fill(tmp_path / "meus certificados", *NAMES)
    made = make(open_with, engine_name, replicas=1, tls="on", certificates=str(folder))
    values = of_cluster(made)
    assert issuers(made) == {"CN=Empresa TI"} and failed_checks(made) == {}
    assert not (made.folder / "secrets/ca.key").exists()
    with pytest.raises(ParameterError, match=r"replica-2\.crt is missing"):
        add(again(made, open_with))
    assert again(made, open_with).topology.names == NAMES
    company.give(folder, "replica-2")
    add(again(made, open_with))
    other = Authority("Outra").fill(folder, *NAMES)
    refused = pgrepl("rotate certificates", values)
    assert refused.returncode == 2 and "replica-2.crt: not accepted" in refused.stderr
    remove(again(made, open_with), "replica-2", confirm=True)
    done = pgrepl("rotate certificates", values)
    assert done.returncode == 0, done.stderr
    assert issuers(made) == {"CN=Outra TI"} and failed_checks(again(made, open_with)) == {}
    trusted = (made.folder / "secrets/ca.crt").read_bytes()
    assert trusted.split() == (other / "ca.crt").read_bytes().split()
    assert SECURITY["modes"](made).passed


@pytest.mark.long_on_docker
def test_a_cluster_goes_from_its_own_to_the_users_and_back(
    engine_name: str, open_with: MakeCluster, tmp_path: Path
) -> None:
    made = make(open_with, engine_name, replicas=1)
    values = of_cluster(made)
    company = Authority().fill(tmp_path / "company", *NAMES)
    done = pgrepl(f"secure -p certificates {company}", values)
    assert done.returncode == 0, done.stderr
    assert issuers(again(made, open_with)) == {"CN=Empresa TI"}
    refused = pgrepl("rotate certificates --authority", values)
    assert refused.returncode == 2 and "is not this cluster's own" in refused.stderr
    for folder, said in (("", "serialNumber|2.5.4.5"), (company, "CN=Empresa TI")):
        done = pgrepl("rotate certificates", values, "-p", "certificates", str(folder))
        assert done.returncode == 0, done.stderr
        now = again(made, open_with)
        assert now.params.certificates == str(folder) and failed_checks(now) == {}
        assert all(any(s in each for s in said.split("|")) for each in issuers(now))
        assert (made.folder / "secrets/ca.key").exists() == (not folder)


# --- what is refused ---------------------------------------------------------------------------------------------

Bad = Callable[[Authority, Path], object]
BAD: dict[str, tuple[Bad, str]] = {
    "a folder that is not there": (
        lambda a, f: f.rename(f.with_name("away")),
        "ca.crt is missing",
    ),
    "a missing certificate": (lambda a, f: (f / "replica.crt").unlink(), "replica.crt is missing"),
    "a missing key": (lambda a, f: (f / "replica.key").unlink(), "replica.key is missing"),
    "a key that others may read": (
        lambda a, f: (f / "primary.key").chmod(0o640),
        "primary.key: others may read it (0640): chmod 600",
    ),
    "a certificate for another host": (
        lambda a, f: a.give(f, "primary", names=["elsewhere.example"]),
        "primary.crt: for another name; it needs DNS:",
    ),
    "one that this machine's clients do not know": (
        lambda a, f: a.give(f, "primary", names=["primary", "db.example"]),
        "127.0.0.1",
    ),
    "an expired one": (
        lambda a, f: a.give(f, "replica", days=-1),
        "replica.crt: valid until 20",
    ),
    "a chain without its root": (
        lambda a, f: (f / "ca.crt").write_bytes(pem(a.signs[0])),
        "ca.crt holds no root",
    ),
    "a chain with a gap": (
        lambda a, f: (f / "replica.crt").write_bytes(
            pem(verifying.read((f / "replica.crt").read_text())[0])
        ),
        "replica.crt: not accepted with the authority's certificate",
    ),
    "another authority's": (
        lambda a, f: Authority().give(f, "replica"),
        "replica.crt: not accepted with the authority's certificate",
    ),
    "one for servers alone": (
        lambda a, f: a.give(f, "replica", usage=[ExtendedKeyUsageOID.SERVER_AUTH]),
        "not for servers and clients alike",
    ),
    "a key that does not fit": (
        lambda a, f: secret(f / "replica.key", ec.generate_private_key(ec.SECP256R1())),
        "replica.key: cannot be read as a key without a passphrase, or is another certificate's",
    ),
    "a key with a passphrase": (
        lambda a, f: secret(f / "replica.key", ec.generate_private_key(ec.SECP256R1()), b"x"),
        "replica.key: cannot be read as a key without a passphrase",
    ),
    "no certificate at all": (
        lambda a, f: (f / "replica.crt").write_text("hello"),
        "replica.crt: no certificate",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_told_before_anything_is_touched(
    workdir: Path, tmp_path: Path, case: str
) -> None:
    company = Authority()
    folder = company.fill(tmp_path / "company", *NAMES)
    bad, said = BAD[case]
    bad(company, folder)
    with pytest.raises(ParameterError, match="nothing was touched") as caught:
        open_cluster(
            project="bad", workdir=str(workdir), engine="local", tls="on", certificates=str(folder)
        )
    assert said in str(caught.value) and str(folder) in str(caught.value)
    assert not (workdir / "bad").exists()


def test_without_tls_they_are_not_ignored(workdir: Path, tmp_path: Path) -> None:
    folder = Authority().fill(tmp_path / "company", *NAMES)
    with pytest.raises(ParameterError, match="With tls off"):
        open_cluster(workdir=str(workdir), engine="local", certificates=str(folder))
