"""A cluster made with `trust` is taken over: told, planned, nobody locked out on the way, and who has no password is out."""

from __future__ import annotations

from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.cluster import restarts
from pgrepl_lib.doors import db

from ..conftest import DOCUMENT, OPENED, MakeCluster
from .dying import Mortal, connect_anew, is_out, replicates, watched, with_its_password
from .operated import everything_recorded, failed_checks, make
from .running import of_cluster, pgrepl

PASSWORD = "--auth-method scram-sha-256"
STEP = "Let replicas log in by password, and nobody without one"
TAKE_OVER = """
from pgrepl_lib import open_cluster
open_cluster("00-preparacao", **{values!r}).prepare()"""


@pytest.fixture
def trusting(engine_name: str, open_with: MakeCluster) -> Cluster:
    return make(open_with, engine_name, **DOCUMENT)


def as_stranger(cluster: Cluster) -> psycopg.Connection[Any]:
    """A replication connection of somebody of this machine who has no password."""
    at = cluster.primary.address
    return psycopg.connect(
        host=at.host, port=at.port, user="repl", replication="true", autocommit=True
    )


def rules(cluster: Cluster) -> set[str]:
    """The methods of the instances' rules that let the replication user in."""
    found = (cluster.folder / n / "pg_hba.conf" for n in cluster.topology.names)
    lines = [line.split() for path in found for line in path.read_text("utf-8").splitlines()]
    return {words[-1] for words in lines if words[:3] == ["host", "replication", "repl"]}


def with_password(made: Cluster) -> Cluster:
    """As chapter 00 opens it."""
    given = OPENED[made.params.project]
    given["auth_method"] = "scram-sha-256"
    return open_cluster("00-preparacao", project=made.params.project, **given)


def test_it_stays_as_it_is_unless_a_password_is_asked_for(trusting: Cluster) -> None:
    values = of_cluster(trusting)
    told = pgrepl("run", values)
    before = everything_recorded(trusting)
    assert told.returncode == 0 and "With trust, as in the document" in told.stderr
    assert f"{PASSWORD}` ends that" in told.stderr
    refused = pgrepl(f"check {PASSWORD}", values)
    assert refused.returncode == 2 and f"{PASSWORD}` ends trust" in refused.stderr
    planned = pgrepl(f"run --plan {PASSWORD}", values)
    assert planned.returncode == 0, planned.stderr
    changed = [line for line in planned.stdout.splitlines() if "would change" in line]
    steps = [line.split("  ")[-1].strip() for line in changed if " steps " not in line]
    assert steps[:2] == ["Make the passwords, in protected files", STEP]  # then what guards
    assert planned.stdout.count("+host    replication     repl") == 3
    assert "createuser" not in planned.stdout, "who is there already is not made"
    assert everything_recorded(trusting) == before and rules(trusting) == {"trust"}

    with closing(as_stranger(trusting)) as stranger:
        done = pgrepl(f"run {PASSWORD}", values)
        assert done.returncode == 0 and f"{len(steps)} steps changed" in done.stdout, (
            done.stderr + done.stdout
        )
        assert stranger.pgconn.exec_(b"IDENTIFY_SYSTEM").error_message, "it was ended"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        as_stranger(trusting)
    after = with_password(trusting)
    assert rules(after) == {"scram-sha-256"} and failed_checks(after) == {}
    kept = [
        db.row(after.instance(n).address, "show max_slot_wal_keep_size")
        for n in after.topology.names
    ]
    assert kept == [{"max_slot_wal_keep_size": "10GB"}] * 3, "the further replica has it, too"
    again = pgrepl("run", values)
    assert "0 steps changed" in again.stdout and "trust" not in again.stderr, again.stdout
    weaker = pgrepl("run --auth-method trust", values)
    assert weaker.returncode == 2 and "made with scram-sha-256, asked for trust" in weaker.stderr


def test_killed_again_and_again_it_locks_nobody_out_and_leaves_no_stranger(
    open_with: MakeCluster,
) -> None:
    """Later each time. Who came without a password while that was possible is out in the end."""
    made, strangers = make(open_with, "local", **DOCUMENT), []
    probes = {
        "a stranger": partial(replicates, made.primary),
        "at a replica": partial(replicates, made.instance("replica-2")),
        "with the password": partial(with_its_password, made.primary),
    }
    take_over = taking_over(made)
    with Mortal() as mortal, watched(probes) as seen:
        for effects in range(3, 99, 5):
            with suppress(psycopg.OperationalError):
                strangers += [as_stranger(made)]
            if not mortal.dies(effects, take_over):
                break
            connect_anew(with_password(made))
    assert effects > 20 and len(strangers) > 2
    assert all(map(is_out, strangers))
    out = [True, False]
    assert seen == {"a stranger": out, "at a replica": out, "with the password": [True]}
    now = with_password(made)
    assert now.prepare() == "unchanged"
    assert rules(now) == {"scram-sha-256"} and failed_checks(now) == {}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_after_any_effect_it_is_finished_and_leaves_no_stranger(
    open_with: MakeCluster,
) -> None:
    made = make(open_with, "local", **DOCUMENT)
    trusting, take_over = as_it_is(made), taking_over(made)
    with Mortal() as mortal:
        for effects in range(1, 99):
            stranger = as_stranger(made)
            killed = mortal.dies(effects, take_over)
            connect_anew(with_password(made))
            mortal.finishes(take_over)
            assert is_out(stranger), effects
            assert rules(made) == {"scram-sha-256"} and not replicates(made.primary), effects
            assert not list(made.folder.glob("secrets/*.new")), effects
            if not killed:
                break
            put_back(made, trusting)
    assert effects > 20 and failed_checks(with_password(made)) == {}


def taking_over(made: Cluster) -> str:
    given = OPENED[made.params.project] | {"auth_method": "scram-sha-256"}
    return TAKE_OVER.format(values={**given, "project": made.params.project})


def as_it_is(made: Cluster) -> dict[Path, bytes]:
    """What a cluster with `trust` has in its folder, beside data and secrets."""
    found = [p for p in made.folder.rglob("*") if p.is_file()]
    return {p: p.read_bytes() for p in found if {"data", "secrets", "logs"}.isdisjoint(p.parts)}


def put_back(made: Cluster, files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        path.write_bytes(content)
    for path in [*made.folder.glob("secrets/rep*"), *made.folder.glob("data/*/replication.pgpass")]:
        path.unlink()
    for name in made.topology.names:
        restarts.reload(made.instance(name))
    db.rows(made.primary.address, "alter role repl password null")
