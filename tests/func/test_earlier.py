"""A cluster as an earlier version recorded it is taken over: nothing is changed, and what it began is finished.

Its shape is that of `tests/earlier`; the servers are today's, since no earlier version is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.cluster import state
from pgrepl_lib.doors import db
from pgrepl_lib.journal import compare, runs
from pgrepl_lib.operations.switchover import Switchover

from ..conftest import MakeCluster, NewProject
from ..earlier import VERSIONS, unpacked
from .operated import again, make
from .running import Values, folder_of, of_cluster, pgrepl

STARTED = "select pg_postmaster_start_time()::text as at"


@pytest.fixture(scope="module")
def values(new_project: NewProject) -> Iterator[Values]:
    """A cluster of today's that has had a run, and a row of its user."""
    with new_project(project="earlier", settings='{"work_mem": "8MB"}') as made:
        done = pgrepl("run", made)
        assert done.returncode == 0, done.stderr
        db.rows(open_cluster("", **made).primary.address, "create table kept as select 1 as n")
        yield made


@pytest.fixture(params=VERSIONS)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """What that version recorded of its cluster, in the middle of a switchover."""
    made: dict[str, Any] = json.loads(
        (unpacked(request.param, tmp_path) / state.FILE).read_text("utf-8")
    )
    return made


def record_as(values: Values, earlier: dict[str, Any], *, operation: bool) -> dict[str, Any]:
    """Record a cluster as that version would have; returns how it was recorded."""
    path = folder_of(values) / state.FILE
    now: dict[str, Any] = json.loads(path.read_text("utf-8"))
    there = {name: value for name, value in now.items() if name in earlier}
    topology = {n: now["topology"][n] for n in earlier["topology"]}
    if operation:
        topology["operation"] = earlier["topology"]["operation"]
    path.write_text(json.dumps({**there, "topology": topology}, indent=2) + "\n", "utf-8")
    return now


def started(cluster: Cluster) -> list[dict[str, Any]]:
    return [db.row(i.address, STARTED) for i in (cluster.primary, *cluster.replicas)]


def test_a_run_takes_it_over_and_changes_nothing(values: Values, earlier: dict[str, Any]) -> None:
    cluster = open_cluster("", **values)
    before = started(cluster)
    had = record_as(values, earlier, operation=False)
    done = pgrepl("run", values)
    assert done.returncode == 0 and "completed: 0 steps changed" in done.stdout, done.stderr
    now = json.loads((folder_of(values) / state.FILE).read_text("utf-8"))
    assert {**now, "id": had["id"]} == had and len(now["id"]) == 32
    assert started(cluster) == before, "no server was restarted"
    assert db.row(cluster.primary.address, "select n from kept") == {"n": 1}


@pytest.mark.parametrize("version", VERSIONS)
def test_its_run_is_compared_with_one_of_today(
    values: Values, tmp_path: Path, version: str
) -> None:
    """Each step and check of the one is one of the other, whatever it is called."""
    old = runs.of_project(unpacked(version, tmp_path))[-1]
    found = compare.compare(old, runs.of_project(folder_of(values))[0])
    assert found and not [
        str(d) for d in found if d.group in ("steps", "checks") and None in (d.old, d.new)
    ]


@pytest.mark.parametrize(("way", "primary"), [("--cancel", "primary"), ("--to replica", "replica")])
def test_its_switchover_that_was_killed_is_finished_or_taken_back(
    earlier: dict[str, Any], open_with: MakeCluster, way: str, primary: str
) -> None:
    given = make(open_with, "local", replicas=1)
    db.rows(given.primary.address, "create table kept as select 1 as n")
    change = Switchover(given, "replica")
    change.prepare()
    change.stop_writes()
    values = of_cluster(given)
    record_as(values, earlier, operation=True)
    refused = pgrepl("run", values)
    assert refused.returncode == 1 and f"{way}`" in refused.stderr, refused.stderr
    done = pgrepl(f"switchover {way}", values)
    assert done.returncode == 0 and f"{primary} is the primary" in done.stdout, done.stderr
    done = pgrepl("check", values)
    assert done.returncode == 0, done.stdout
    address = again(given, open_with).primary.address
    assert db.row(address, "select n from kept") == {"n": 1}
