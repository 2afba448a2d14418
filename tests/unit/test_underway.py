"""A change of roles that has begun and not ended is told, with the way on, by whoever looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib.checks import lag
from pgrepl_lib.cluster import state
from pgrepl_lib.cluster.changes import underway
from pgrepl_lib.cluster.topology import Topology
from pgrepl_lib.doors import outside
from pgrepl_lib.params import Params

BEGUN = {"kind": "switchover", "from": "primary", "to": "replica"}


def told(params: Params, primary: str = "primary", **facts: Any) -> str:
    """What is said of an operation that was recorded like this."""
    return underway.told(Topology(primary, operation={**BEGUN, **facts}), params)


@pytest.fixture
def params(tmp_path: Path) -> Params:
    return Params.parse({"project": "demo", "workdir": str(tmp_path), "engine": "local"})


def test_nothing_is_told_where_nothing_has_begun(params: Params) -> None:
    assert underway.told(Topology(), params) == ""


def test_one_whose_process_runs_is_under_way(params: Params) -> None:
    line = told(params, **underway.facts())
    assert line.startswith("a switchover from primary to replica is under way since 2")
    assert f"(process {os.getpid()}): wait for it" in line
    assert "pgrepl switchover --project demo" in line and "--to replica` finishes it" in line


def test_one_whose_process_has_ended_was_interrupted(params: Params) -> None:
    code = "from pgrepl_lib.cluster.changes import underway; print(underway.facts()['pid'])"
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    facts = {**underway.facts(), "pid": gone.stdout.strip()}
    line = told(params, **facts)
    assert "was interrupted, unfinished since 2" in line and "--cancel` takes it back" in line


@pytest.mark.parametrize("facts", [{}, {"since": "x", "host": 7, "pid": []}, {"pid": "-1"}])
def test_a_record_without_who_and_when_is_told_as_interrupted(
    params: Params, facts: dict[str, str]
) -> None:
    assert "was interrupted, unfinished" in told(params, **facts)


@pytest.mark.parametrize("kind", ["switchover", "failover"])
def test_the_way_back_is_named_until_the_promotion(params: Params, kind: str) -> None:
    assert f"`pgrepl {kind} --project demo" in told(params, kind=kind)
    assert "--cancel` takes it back" in told(params, kind=kind)
    assert "--cancel" not in told(params, primary="replica", kind=kind)


def test_another_process_of_that_number_is_not_it(params: Params) -> None:
    facts = {**underway.facts(), "since": "2001-01-01T00:00:00+00:00"}
    assert "was interrupted" in told(params, **facts)


def test_what_is_recorded_now_counts_not_what_was_known_before(params: Params) -> None:
    params.folder.mkdir()
    before = Topology(upstreams={"replica": "primary"})

    def write(now: Topology) -> str:
        state.write(params, "x", "local", {"primary": 20000, "replica": 20001}, now)
        return underway.now(params.folder, params, before)

    assert write(before) == ""
    assert "failover from" in write(
        Topology(upstreams=before.upstreams, operation={**BEGUN, "kind": "failover"})
    )
    assert "roles have changed" in write(Topology("replica", {"primary": "replica"}))


def test_monitoring_is_told_that_roles_change() -> None:
    seen = {"name": "replica", "state": "hung | no", "bytes": None, "seconds": None, "paused": None}
    _, line = lag.judge([seen], lag.Thresholds(), "a failover is under way")
    assert line == "REPLICATION CRITICAL - replica: hung / no; a failover is under way"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import psycopg; raise psycopg.OperationalError('no')", "PostgreSQL did not"),
        ("from docker.errors import APIError; raise APIError('no')", "Docker did not"),
        ("raise PermissionError(13, 'no')", "the system did not"),
        ("raise ConnectionResetError()", "the system did not"),
    ],
)
def test_what_comes_from_outside_is_told(code: str, told: str) -> None:
    with pytest.raises(Exception) as caught:
        exec(code, {})
    assert told in str(outside.told(caught.value))


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    assert outside.told(KeyError("x")) is None
