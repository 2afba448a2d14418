"""Each claim of `pgrepl check --security` holds on a cluster with TLS, and fails where somebody has broken it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.checks.security import kept
from pgrepl_lib.checks.security.all import SECURITY
from pgrepl_lib.doors import db
from pgrepl_lib.operations.security.securing import secure
from pgrepl_lib.postgres import conf
from pgrepl_lib.steps.instance import Instance
from tests.conftest import DOCUMENT, OPENED, MakeCluster, set_up_primary, set_up_replica
from tests.func.running import of_cluster, pgrepl
from tests.func.test_checks import altered, edited

Break = Callable[[Cluster, pytest.MonkeyPatch], AbstractContextManager[Any]]
WITH_TLS = {"impostor-refused", "tls-strong", "plain-refused", "certificates"}
UNGUARDED = {"slots-bounded", "public-closed", "replication-logged", "checksums"}


@pytest.fixture(scope="module")
def victim(engine_name: str, open_with: MakeCluster) -> Cluster:
    made = open_with(engine_name, auth_method="scram-sha-256", tls="on")
    set_up_primary(made)
    set_up_replica(made)
    secure(made)
    return made


def rule(*lines: str, name: str = "primary") -> Break:
    """A rule of somebody's before all others."""

    def broken(cluster: Cluster, patch: pytest.MonkeyPatch) -> AbstractContextManager[Any]:
        instance = cluster.instance(name)
        return edited(
            instance, "pg_hba.conf", lambda text: conf.with_block(text, "break", lines, first=True)
        )

    return broken


def setting(
    name: str, value: str, of: Callable[[Cluster], Instance] = lambda c: c.primary
) -> Break:
    return lambda cluster, patch: altered(of(cluster), name, value)


def conninfo(change: Callable[[str], str]) -> Break:
    def broken(cluster: Cluster, patch: pytest.MonkeyPatch) -> AbstractContextManager[Any]:
        return altered(
            cluster.replica,
            "primary_conninfo",
            change(cluster.replica.conninfo(cluster.primary)).replace("'", "''"),
        )

    return broken


def sql(do: str, undo: str) -> Break:
    @contextmanager
    def broken(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
        db.rows(cluster.primary.address, do)
        try:
            yield
        finally:
            db.rows(cluster.primary.address, undo)

    return broken


@contextmanager
def somebody_copies(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
    at, secrets = cluster.primary.address, cluster.folder / "secrets"
    password = (secrets / "replication").read_text().strip()
    words: Any = {"replication": "true", "sslcert": str(secrets / "replica.crt")}
    words["sslkey"] = str(secrets / "replica.key")
    mine = db.Address(at.host, at.port, "repl", password, at.sslmode)
    with db.connect(mine, settings={}, **words):
        yield


@contextmanager
def a_password_in_a_note(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
    note: Path = cluster.folder / "primary/note.txt"
    note.write_text(f"senha: {(cluster.folder / 'secrets/superuser').read_text()}")
    yield
    note.unlink()


@contextmanager
def a_key_for_all(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
    key: Path = cluster.folder / "secrets/ca.key"
    key.chmod(0o644)
    yield
    key.chmod(0o600)


@contextmanager
def listening_for_all(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.create_server(("0.0.0.0", 0)) as door, patch.context() as patched:
        ports = {**cluster.engine.ports, "replica": door.getsockname()[1]}
        patched.setattr(cluster.engine, "ports", ports)
        yield


@contextmanager
def soon_over(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with patch.context() as patched:
        patched.setattr(kept, "LEFT", timedelta(days=400))
        yield


BREAKS: dict[str, Break] = {
    "followers-ours": somebody_copies,
    "no-database": rule("hostssl all repl all scram-sha-256"),
    "superuser-near": rule("hostssl all postgres all scram-sha-256"),
    "wrong-password": rule("hostssl replication repl all trust"),
    "plain-refused": rule("host all all all scram-sha-256"),
    "impostor-refused": conninfo(
        lambda text: " ".join(
            "sslmode=require" if w.startswith("sslmode") else w
            for w in text.split()
            if not w.startswith("sslrootcert")
        )
    ),
    "no-password-shown": a_password_in_a_note,
    "modes": a_key_for_all,
    "listening": listening_for_all,
    "certificates": soon_over,
    "replication-role": sql("create role other replication", "drop role other"),
    "verifiers": sql(
        "set password_encryption = md5; create role old login password 'x'", "drop role old"
    ),
    "as-strict": rule("host all all all trust", name="replica"),
    "slots-bounded": setting("max_slot_wal_keep_size", "-1"),
    "public-closed": sql(
        "grant create on schema public to public", "revoke create on schema public from public"
    ),
    "replication-logged": setting("log_replication_commands", "off"),
}


def test_each_has_a_break() -> None:
    assert set(SECURITY) == {*BREAKS, "tls-strong", "checksums"}
    assert all((claim.manual or claim.cis) and claim.hint for claim in SECURITY.values())


@pytest.mark.parametrize("name", BREAKS)
def test_a_claim_holds_and_fails_once_it_is_broken(
    victim: Cluster, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = SECURITY[name](victim)
    assert before.verdict == "passed", before
    with BREAKS[name](victim, monkeypatch):
        broken = SECURITY[name](victim)
        assert broken.verdict == "failed" and broken.hint, broken
    after = SECURITY[name](victim)
    assert after.verdict == "passed", after


def test_a_stream_in_clear_is_seen(victim: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SECURITY["tls-strong"](victim).verdict == "passed"
    plain = conninfo(
        lambda text: f"{text} sslmode=disable channel_binding=disable".replace(
            "verify-full", "disable"
        )
    )
    with (
        rule("host replication repl all scram-sha-256")(victim, monkeypatch),
        plain(victim, monkeypatch),
    ):
        db.rows(victim.primary.address, "select pg_terminate_backend(pid) from pg_stat_replication")
        victim.replica.wait_streaming()
        assert SECURITY["tls-strong"](victim).verdict == "failed"
    db.rows(victim.primary.address, "select pg_terminate_backend(pid) from pg_stat_replication")
    victim.replica.wait_streaming()
    assert SECURITY["tls-strong"](victim).verdict == "passed"


def test_what_no_running_instance_could_show_is_not_tried(
    victim: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(victim.engine, "running", lambda name: False)
    assert {SECURITY[n](victim).verdict for n in ("checksums", "replication-logged")} == {
        "not tried"
    }


def test_the_command_makes_them_and_says_their_sources(victim: Cluster) -> None:
    done = pgrepl("check --security --json", of_cluster(victim))
    found = {c["name"]: c for c in json.loads(done.stdout)}
    assert set(found) == set(SECURITY)
    assert {n for n, c in found.items() if not c["passed"]} == set()
    assert "CIS PostgreSQL 17 7.2" in found["replication-logged"]["title"]


def test_the_document_to_the_letter_has_no_guards_and_a_cluster_made_so_is_taken_over(
    open_with: MakeCluster,
) -> None:
    """What its data decide stays as it was made: checksums, and what applications may live by."""

    def verdicts(cluster: Cluster) -> dict[str, set[str]]:
        set_up_primary(cluster)
        set_up_replica(cluster)
        found: dict[str, set[str]] = {"passed": set(), "failed": set(), "not tried": set()}
        for name, claim in SECURITY.items():
            found[claim(cluster).verdict].add(name)
        return found

    made = open_with("local", **DOCUMENT)
    found = verdicts(made)
    assert found["not tried"] == WITH_TLS
    assert found["failed"] == {"wrong-password", *UNGUARDED}
    given = OPENED[made.params.project] | {"auth_method": "scram-sha-256"}
    taken_over = open_cluster("00-preparacao", project=made.params.project, **given)
    taken_over.prepare()
    OPENED[made.params.project] = given
    found = verdicts(taken_over)
    assert found["failed"] == {"checksums", "public-closed"}
    hint = SECURITY["public-closed"](taken_over).hint
    for command in re.findall(r"`pgrepl ([^`]*)`", hint):
        assert pgrepl(command, {}).returncode == 0
    assert SECURITY["public-closed"](taken_over).passed
