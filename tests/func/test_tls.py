"""TLS from chapter 01 on: who comes without it is refused, and who cannot prove his name is not followed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from pgrepl_lib import Cluster
from pgrepl_lib.checks.checks import BESIDES, CHECKS, SET_UP
from pgrepl_lib.doors import db
from pgrepl_lib.engine.secret import AUTHORITY
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.params import Params
from pgrepl_lib.postgres import tls
from pgrepl_lib.steps.refusals import refuse_settings
from tests.conftest import MakeCluster, set_up_primary, set_up_replica

STREAMS = """
select s.ssl, s.version from pg_stat_replication r join pg_stat_ssl s using (pid)
where r.application_name = 'replica-1'"""


@pytest.fixture(scope="module")
def made(engine_name: str, open_with: MakeCluster, workdir: Path) -> Cluster:
    """A cluster with TLS from the first chapter on, in an oddly named folder."""
    odd = workdir / "Pasta 'TLS' $x"
    odd.mkdir(exist_ok=True)
    cluster = open_with(engine_name, auth_method="scram-sha-256", tls="on", workdir=str(odd))
    assert set(set_up_primary(cluster)[1:]) | set(set_up_replica(cluster)) == {"changed"}
    return cluster


def test_the_replica_streams_with_tls_and_all_checks_pass(made: Cluster) -> None:
    assert db.row(made.primary.address, STREAMS) == {"ssl": True, "version": "TLSv1.3"}
    found = {name: CHECKS[name](made) for name in (*SET_UP, *BESIDES)}
    assert {n: c.facts for n, c in found.items() if c.tried and not c.passed} == {}


def test_done_again_nothing_is_changed(made: Cluster) -> None:
    assert {*set_up_primary(made), *set_up_replica(made)} == {"unchanged"}


@pytest.mark.parametrize("name", ["primary", "replica"])
def test_who_comes_without_tls_is_refused(made: Cluster, name: str) -> None:
    at = vars(made.instance(name).address) | {"dbname": "postgres"}
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(**at | {"sslmode": "disable"})


@pytest.mark.parametrize("name", ["primary", "replica"])
def test_a_client_can_prove_whom_it_talks_to(made: Cluster, name: str) -> None:
    at = vars(made.instance(name).address) | {"dbname": "postgres", "sslmode": "verify-full"}
    for host in ("127.0.0.1", "localhost"):
        root = {"sslrootcert": str(made.folder / "secrets" / AUTHORITY), "host": host}
        psycopg.connect(**at | root).close()
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(**at | {"sslrootcert": "system"})


def test_keys_are_for_their_server_alone_and_a_replica_has_not_the_primarys(made: Cluster) -> None:
    keys = {n: (made.folder / f"secrets/{n}.key").read_text() for n in ("primary", "replica")}
    assert len(set(keys.values())) == 2
    for name, key in keys.items():
        read = f"select pg_read_file('{tls.KEY}')"
        asked = made.engine.run(made.engine.inside(name, "psql", "-Atc", read))
        assert asked.out.strip() == key.strip()
    modes = {p.name: p.stat().st_mode & 0o777 for p in (made.folder / "secrets").iterdir()}
    assert set(modes.values()) == {0o600} and "ca.key" in modes


def test_without_its_certificate_the_password_alone_lets_nobody_replicate(made: Cluster) -> None:
    words = made.replica.conninfo(made.primary)
    ask = ("psql", "--no-password", "--command", "IDENTIFY_SYSTEM", "--dbname")
    let_in, refused = (
        made.engine.run(made.engine.inside("replica", *ask, f"{w} replication=true"), check=False)
        for w in (words, f"{words} sslcert=/nowhere sslkey=/nowhere")
    )
    assert let_in.code == 0, let_in.err
    assert refused.code and "client certificate" in refused.err


def test_asking_for_less_takes_nothing_away(made: Cluster, open_with: MakeCluster) -> None:
    again = open_with(made.engine.name, made.params.project, tls="off")
    assert again.params.tls == "on"
    assert {*set_up_primary(again), *set_up_replica(again)} == {"unchanged"}


def test_a_server_without_openssl_is_refused_before_anything_is_touched() -> None:
    engine = SimpleNamespace(refuse_settings=lambda settings: [f"no: {settings}"])
    params = Params.parse({"tls": "on"})
    with pytest.raises(ParameterError, match="without OpenSSL") as caught:
        refuse_settings(params, {}, engine, 1)  # type: ignore[arg-type]
    assert list(caught.value.looked_at) == ["no: {'ssl': 'on'}"]
    refuse_settings(params, {"params": {"tls": "on"}}, engine, 1)  # type: ignore[arg-type]
