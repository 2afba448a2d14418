"""Certificates as files: what is told of those that are good no more, and which key signs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pgrepl_lib.errors import StepFailed
from pgrepl_lib.logins.tls import certificates, issuing, refusing, succession, verifying


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    """A project's folder with what chapter 01 puts into `secrets/`."""
    params = SimpleNamespace(tls="on", certificates="", project="unit")
    topology = SimpleNamespace(names=["primary", "replica"])
    made: Any = SimpleNamespace(params=params, folder=tmp_path, topology=topology, addressed=str)
    (tmp_path / "secrets").mkdir()
    for owner in ("ca", *topology.names):
        certificates.put(made, owner)
    return made


def over(cluster: Any, monkeypatch: pytest.MonkeyPatch, owner: str) -> None:
    with monkeypatch.context() as patched:
        for valid in ("YEARS", "DAYS"):
            patched.setattr(issuing, valid, timedelta(days=-2))
        certificates.put(cluster, owner)


def test_what_is_over_is_told_with_the_command_that_renews_it(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}"
    assert refusing.told(cluster) == ""
    over(cluster, monkeypatch, "replica")
    told = f"the certificate of replica is over (valid until {day}): `pgrepl rotate certificates`"
    assert refusing.told(cluster) == told
    over(cluster, monkeypatch, "ca")
    assert refusing.told(cluster).startswith("the authority's certificate is over")
    assert "`pgrepl rotate certificates --authority`" in refusing.told(cluster)
    cluster.params.tls = "off"
    assert refusing.told(cluster) == ""


def test_while_two_are_trusted_the_one_whose_key_is_there_signs(cluster: Any) -> None:
    first = certificates.signer(cluster)
    succession.begin(cluster)
    trusted = cluster.folder / "secrets/ca.crt"
    assert len(verifying.read(trusted.read_text())) == 2
    assert certificates.signer(cluster) == first
    succession.begin(cluster)
    assert len(verifying.read(trusted.read_text())) == 2, "begun once"
    succession.sign(cluster)
    second = certificates.signer(cluster)
    assert second.certificate != first.certificate and succession.due(cluster, "replica")
    certificates.put(cluster, "replica")
    assert not succession.due(cluster, "replica")
    succession.trust(cluster)
    succession.forget(cluster)
    assert trusted.read_text() == second.certificate and not succession.begun(cluster)


def test_a_key_without_its_certificate_is_made_anew(cluster: Any) -> None:
    """As one is left that is killed between the two files."""
    secrets = cluster.folder / "secrets"
    (secrets / "replica.key").write_text((secrets / "primary.key").read_text())
    cluster.engine = SimpleNamespace(prepare=bool, hand_over=lambda *folders: ())
    action = certificates.action(cluster, ["primary", "replica"])
    assert not action.done()
    action.do(print)
    assert action.done() and verifying.fits(*certificates.present(cluster, "replica"))


def test_without_the_authoritys_key_its_remedy_is_named(cluster: Any) -> None:
    (cluster.folder / "secrets/ca.key").unlink()
    with pytest.raises(StepFailed, match="is missing") as caught:
        certificates.signer(cluster)
    assert "pgrepl rotate certificates --authority" in caught.value.remedy
