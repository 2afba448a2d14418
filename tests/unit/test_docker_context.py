"""Docker's own rules for which engine is meant, on files as its command line writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pgrepl_lib.doors import docker_context
from pgrepl_lib.doors.command import Command, run
from pgrepl_lib.engine.docker import host
from pgrepl_lib.errors import EnvironmentLacking
from pgrepl_lib.params import Params


@pytest.fixture(autouse=True)
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two contexts, `far` with certificates; `near` is in use."""
    for name in docker_context.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "near"}))
    for name, address in (("near", "unix:///run/near.sock"), ("far", "tcp://10.0.0.1:2376")):
        key = hashlib.sha256(name.encode()).hexdigest()
        folder = tmp_path / "contexts/meta" / key
        folder.mkdir(parents=True)
        made = {"Name": name, "Endpoints": {"docker": {"Host": address, "SkipTLSVerify": False}}}
        (folder / "meta.json").write_text(json.dumps(made))
    (tmp_path / "contexts/tls" / key / "docker").mkdir(parents=True)
    return tmp_path


def test_the_context_in_use_counts_where_no_variable_names_another() -> None:
    assert docker_context.variables() == {"DOCKER_HOST": "unix:///run/near.sock"}


def test_a_named_context_wins_and_brings_its_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    found = docker_context.variables()
    assert found["DOCKER_HOST"] == "tcp://10.0.0.1:2376" and found["DOCKER_TLS_VERIFY"] == "1"
    assert Path(found["DOCKER_CERT_PATH"]).is_dir()


def test_a_named_host_wins_over_every_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    assert docker_context.variables() == {"DOCKER_HOST": "unix:///run/mine.sock"}


def test_the_default_context_stays_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert docker_context.variables() == {"DOCKER_CONTEXT": "default"}


def test_a_context_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(EnvironmentLacking, match="The Docker context gone cannot be read"):
        docker_context.variables()


def test_programs_get_the_same_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    program = tmp_path / "docker-says"
    program.write_text('#!/bin/sh\necho "$DOCKER_HOST $DOCKER_CONTEXT"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert run(Command(("docker-says",)), cwd=tmp_path).out == "tcp://10.0.0.1:2376 \n"


@pytest.mark.parametrize(
    ("endpoint", "there"),
    [
        ("ssh://admin@db.example", True),
        ("tcp://192.0.2.7:2376", True),  # RFC 5737: nobody's
        ("tcp://127.0.0.1:2375", False),
        ("tcp://[::1]:2375", False),
        ("tcp://localhost:2375", False),
        ("tcp://no.such.host.invalid:2375", False),
        ("unix:///run/user/1000/docker.sock", False),
        ("unix:///run/podman/podman.sock", False),
        ("", False),
    ],
)
def test_an_engine_on_another_machine_is_refused_before_it_is_asked(
    endpoint: str, there: bool, contexts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would mount and publish is there, not here."""
    (contexts / "config.json").unlink()
    monkeypatch.setenv("DOCKER_HOST", endpoint)
    assert docker_context.elsewhere() == (endpoint if there else "")
    asked: list[object] = []
    monkeypatch.setattr(host, "ask_version", asked.append)  # Compose, which would go there by ssh
    if there:
        with pytest.raises(EnvironmentLacking, match="on another machine") as refused:
            host.require(Params.parse({}))
        assert asked == []
        assert refused.value.looked_at == (endpoint,) and "engine = local" in refused.value.remedy


def test_a_context_of_another_machine_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert docker_context.elsewhere() == "tcp://10.0.0.1:2376"
