"""`pgrepl plan` touches nothing, and what it says is what `pgrepl run` then does."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib import Cluster, open_cluster
from pgrepl_lib.doors import db
from pgrepl_lib.engine.docker import host as docker_host
from pgrepl_lib.engine.local import binaries
from pgrepl_lib.journal.audit import said as read_again
from pgrepl_lib.journal.chapter import SET_UP
from pgrepl_lib.journal.runs import of_project
from pgrepl_lib.runner.plan import plan

from ..conftest import NewProject
from .operated import stop_by_hand
from .test_drift import Values, pgrepl

STATEMENTS = (
    "select name, setting, source, pending_restart from pg_settings where source <> 'client' order by 1",
    "select slot_name, slot_type, active from pg_replication_slots order by 1",
    "select rolname, rolreplication, rolsuper, rolcanlogin, rolpassword from pg_authid order by 1",
    "select application_name, state, backend_start from pg_stat_replication order by 1",
    "select pg_postmaster_start_time() as started, pg_conf_load_time() as loaded",
    "select pg_snapshot_xmax(pg_current_snapshot())::text as next_transaction",  # nobody has written anything
)


@pytest.fixture
def values(engine_name: str, workdir: Path, new_project: NewProject) -> Iterator[Values]:
    folder = workdir / f"plan-{secrets.token_hex(3)}"  # not there yet
    with new_project(engine_name, workdir=str(folder), settings='{"autovacuum": "off"}') as made:
        yield made


def whole_state(values: Values) -> dict[str, Any]:
    """Files with content, mode and time; containers, volumes and networks; processes; and what the servers say."""
    workdir = Path(values["workdir"])
    seen: dict[str, Any] = {}
    for path in [workdir, *workdir.rglob("*")] if workdir.exists() else []:
        if (
            "data" not in path.relative_to(workdir).parts or path.name == "postmaster.pid"
        ):  # what servers always write
            content = (
                hashlib.sha256(path.read_bytes()).hexdigest()
                if path.is_file()
                else sorted(map(str, path.glob("*")))
            )
            seen[str(path)] = (
                content,
                path.stat().st_mode,
                path.stat().st_uid,
                path.stat().st_mtime_ns,
            )
    cluster = open_cluster("test", **values)
    seen["engine"] = cluster.engine.existing()
    if cluster.engine.name == "docker":
        client, mine = docker_host.client(), {"name": values["project"]}
        seen["containers"] = sorted(
            (c.id, c.status, c.attrs["State"]["StartedAt"])
            for c in client.containers.list(True, filters=mine)
        )
        seen["volumes"] = sorted(
            (v.name, v.attrs["CreatedAt"]) for v in client.volumes.list(filters=mine)
        )
        seen["networks"] = sorted(
            (n.id, n.attrs["Created"]) for n in client.networks.list(filters=mine)
        )
    for name in cluster.topology.names:
        if cluster.instance(name).prepared() and cluster.engine.running(name):
            seen[name] = [db.rows(cluster.instance(name).address, s) for s in STATEMENTS]
    return seen


def planned(values: Values, *more: str) -> list[dict[str, Any]]:
    """The plan, with the whole state the same before and after."""
    before = whole_state(values)
    done = pgrepl("plan", values, "--json", *more)
    assert done.returncode == 0, done.stderr
    assert whole_state(values) == before
    return list(json.loads(done.stdout))


def run_and_compare(values: Values, what: str, *more: str) -> list[str]:
    """Plan, then run: each step changes what the plan says and no other; returns the titles of those."""
    plan_of_it = planned(values, *more)
    done = pgrepl("run", values, *more)
    assert done.returncode == 0, (what, done.stderr)
    run = of_project(Path(values["workdir"]) / values["project"])[-1]
    kinds = {"would change": "changed", "unchanged": "unchanged"}
    said = [
        (p["chapter"], p["cell"], p["title"], kinds[p["outcome"]])
        for p in plan_of_it
        if p["kind"] == "step"
    ]
    assert said == [(s["chapter"], s["cell"], english(s), s["outcome"]) for s in run.of("step")], (
        what
    )
    checks = [(p["chapter"], p["cell"]) for p in plan_of_it if p["kind"] == "check"]
    assert checks == [(c["chapter"], c["cell"]) for c in run.of("check")], what
    diffs = {p["title"]: p["diff"] for p in plan_of_it}
    for step in run.of(
        "step"
    ):  # the lines; the place of those in a file that was not there yet cannot be known
        assert edited(step["diff"]) == edited(diffs[english(step)]), (what, step["title"])
    return [title for _, _, title, outcome in said if outcome == "changed"]


def english(step: dict[str, Any]) -> str:
    """A run's title, as the plan says it; its chapters speak Portuguese."""
    return read_again(step, "title")


def edited(diff: str) -> list[str]:
    return [line for line in diff.splitlines() if line[:1] in ("+", "-")]


@pytest.mark.long_on_docker
def test_the_plan_is_true_and_touches_nothing(values: Values) -> None:
    changed = run_and_compare(values, "nothing exists", "--to", "01")
    assert len(changed) == 13 and "Prepare the cluster's folder" in changed

    changed = run_and_compare(values, "half made")
    assert len(changed) == 12 and changed[0] == "Start a temporary replica"

    assert run_and_compare(values, "complete") == []

    cluster = open_cluster("test", **values)
    make_drift(cluster)
    values["settings"] = '{"autovacuum": "off", "deadlock_timeout": "2s", "max_connections": "120"}'
    text = whole_text(values)
    assert (
        "  + would change   Take back what others have changed" in text
        and "      -log_connections = on" in text
    )
    assert "      +deadlock_timeout = '2s'" in text and 'alter system reset "work_mem"' in text
    assert text.endswith(" steps would change, 21 unchanged")
    changed = run_and_compare(values, "drift, and other settings")
    assert changed == [
        "Take back what others have changed",
        "Configure the replication in primary/postgresql.conf",
        "Start primary",
        "Create the replication user",
        "Take the primary's settings over into replica/postgresql.conf",
        "Start replica",
    ]
    stopped_servers(cluster, values)


def make_drift(cluster: Cluster) -> None:
    primary = cluster.primary.address
    db.rows(primary, "alter system set work_mem = '8MB'")
    db.rows(primary, "alter role repl noreplication")
    appended = cluster.folder / "primary/postgresql.conf"
    appended.write_text(appended.read_text("utf-8") + "log_connections = on\n", "utf-8")
    (cluster.folder / "replica/postgresql.conf").unlink()
    (cluster.folder / "replica/pg_hba.conf").chmod(0o600)


def whole_text(values: Values) -> str:
    """The same for people, from `run --plan`."""
    done = pgrepl("run", values, "--plan")
    assert done.returncode == 0 and "\033" not in done.stdout, done.stderr
    return done.stdout.rstrip()


def stopped_servers(cluster: Cluster, values: Values) -> None:
    """What a stopped primary cannot be asked for is taken to be as recorded."""
    for name in ("replica", "primary"):
        stop_by_hand(cluster, name)
    outcomes = {p["title"]: p["outcome"] for p in planned(values) if p["kind"] == "step"}
    assert [t for t, o in outcomes.items() if o == "would change"] == [
        "Start primary",
        "Start replica",
    ]


def local(workdir: Path, port: int, **more: Any) -> dict[str, Any]:
    return {
        "project": f"p{secrets.token_hex(3)}",
        "engine": "local",
        "workdir": str(workdir / "never"),
        "port": port,
        **more,
    }


def test_without_the_programs_nothing_is_fetched(
    workdir: Path, free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(binaries, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(binaries.find, "__defaults__", ((),))  # none is installed
    found = plan(local(workdir, free_port(), replicas=16, settings={"work_mem": "8MB"}), SET_UP)
    outcomes = {p.title: p.outcome for p in found}
    assert outcomes["Get the image or the binaries"] == "would change"
    assert outcomes["Prepare replica-16"] == "would change" and set(outcomes.values()) == {
        "would change",
        "unchanged",
        "would be made",
    }
    assert any("+max_wal_senders = 24" in p.diff for p in found), (
        "the limits that sixteen replicas need"
    )
    assert list(tmp_path.iterdir()) == [] and not (workdir / "never").exists()


def test_what_would_stop_the_run_is_told(workdir: Path, free_port: Callable[[], int]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        taken.listen()
        (stop,) = [
            p for p in plan(local(workdir, port), SET_UP) if p.outcome == "would stop the run"
        ]
    assert f"{port} is held by" in stop.title and stop.cell == "preflight"
    assert not (workdir / "never").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--from", "77"], "no chapter"),
        (["-p", "pg_version", "13"], "pg_version"),
        (["-p", "settings", '{"work_mem": "much"}'], "work_mem"),
    ],
)
def test_what_run_refuses_is_refused(
    workdir: Path, free_port: Callable[[], int], more: list[str], said: str
) -> None:
    given = {name: str(value) for name, value in local(workdir, free_port()).items()}
    refused = pgrepl("plan", given, *more)
    assert refused.returncode == 2 and said in refused.stderr and not refused.stdout, refused.stderr
    assert not (workdir / "never").exists()


def test_other_parameters_than_the_clusters_are_refused_as_by_run(
    open_with: Callable[..., Cluster],
) -> None:
    made = open_with("local")
    made.prepare()
    given = {
        "project": made.params.project,
        "workdir": str(made.params.workdir),
        "auth_method": "trust",
    }
    plans, runs = pgrepl("plan", given), pgrepl("run", given)
    assert plans.returncode == runs.returncode == 2 and plans.stderr == runs.stderr
    assert "made with scram-sha-256, asked for trust" in plans.stderr
