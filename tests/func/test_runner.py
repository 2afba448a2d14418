"""`pgrepl` as people and schedulers call it: whole processes, real servers, exit codes, evidence."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from pgrepl_lib import open_cluster
from pgrepl_lib.journal import audit
from pgrepl_lib.journal.chapter import SET_UP

from ..conftest import DOCUMENT, IMAGE, NewProject
from ..portuguese import english_in
from .running import Values, pgrepl

COMPOSE_V2 = Path(os.environ.get("PGREPL_DOCKER_CACHE", "/var/cache/pgrepl-tests")) / "compose-v2"


@pytest.fixture
def values(new_project: NewProject) -> Iterator[Values]:
    """The parameters of a new project on the local engine; removed afterwards."""
    with new_project() as made:
        yield made


def run_folder(values: Values) -> Path:
    return sorted((Path(values["workdir"]) / values["project"] / "runs").iterdir())[-1]


def cells_of(folder: Path) -> list[str]:
    """The cells of its chapters, by what tells them apart when two runs are compared."""
    return [c.id for p in sorted(folder.glob("*.ipynb")) for c in nbformat.read(p, 4).cells]


@pytest.mark.parametrize("language", ["en", "pt"])
def test_what_stops_a_chapter_before_its_first_step_is_told_in_the_commands_language(
    values: Values, language: str
) -> None:
    """The port is taken; the chapter itself tells it in Portuguese."""
    with socket.create_server(("127.0.0.1", int(values["port"]))):
        done = pgrepl("run", values, "--lang", language)
    (told,) = re.findall(r"pgrepl: .*", done.stderr, re.DOTALL)
    said = {"en": "The machine is not ready", "pt": "A máquina não está pronta"}
    assert done.returncode == 3 and said[language] in told
    assert bool(english_in(told)) == (language == "en"), told
    notebook = (run_folder(values) / "00-preparacao.ipynb").read_text("utf-8")
    assert said["pt"] in notebook and said["en"] not in notebook


def test_run_leaves_evidence_and_again_changes_nothing(values: Values, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(values["workdir"])  # one place, by whatever way it is given
    first = pgrepl("run", {**values, "workdir": "link/absent/.."}, cwd=tmp_path)
    assert first.returncode == 0 and "WARNING" not in first.stderr, first.stderr
    assert (
        "✔ passed  The primary accepts writes" in first.stderr
    )  # the chapters say it in Portuguese
    assert "checks passed, 0 failed" in first.stdout and "evidence: " in first.stdout
    folder = run_folder(values)
    assert {p.name for p in folder.iterdir()} >= {"journal.jsonl", "summary.json"} | {
        f"{chapter}{suffix}" for chapter in SET_UP for suffix in (".ipynb", ".html")
    }
    journal = audit.Journal(folder)
    entries = list(journal.entries())
    assert journal.first_broken_line() is None
    steps = [e for e in entries if e["kind"] == "step"]
    assert all(
        s["chapter"] in SET_UP and s["cell"] and s["commands"] and s["exit_code"] == 0
        for s in steps
    )
    checks = {e["name"] for e in entries if e["kind"] == "check" and e["passed"]}
    assert len(checks) == 10
    facts = next(e for e in entries if e["kind"] == "engine")["facts"]
    assert facts["postgres"].startswith("14.") and facts["checksum"].startswith("sha256:")
    assert next(e for e in entries if e["kind"] == "run")["params"]["project"] == values["project"]
    html = (folder / "02-instancia-replica.html").read_text("utf-8")
    assert '<html lang="pt"' in html and "Criando o Base Backup" in html

    cluster = open_cluster("", **values)
    started = [
        i.query("select pg_postmaster_start_time()::text as t").iloc[0, 0]
        for i in (cluster.primary, cluster.replica)
    ]
    again = pgrepl("run", values)
    assert again.returncode == 0, again.stderr
    assert json.loads((run_folder(values) / "summary.json").read_text())["steps"]["changed"] == 0
    assert "0 steps changed" in again.stdout
    assert cells_of(run_folder(values)) == cells_of(folder)
    assert started == [
        i.query("select pg_postmaster_start_time()::text as t").iloc[0, 0]
        for i in (cluster.primary, cluster.replica)
    ]

    status = json.loads(pgrepl("status", values, "--json").stdout)
    assert [(i["name"], i["role"], i["state"], i["user"]) for i in status["instances"]] == [
        ("primary", "primary", "running", "postgres"),
        ("replica", "replica", "running", "postgres"),
    ]
    assert set(status["replication"][0]) == {
        "application_name",
        "state",
        "sync_state",
        "slot",
        "lag_bytes",
        "lag_seconds",
        "upstream",
    }
    assert (
        status["replication"][0]["application_name"] == "replica-1"
        and status["replication"][0]["slot"] == "replica_1_slot"
    )
    assert "streaming" in pgrepl("status", values).stdout
    answer = pgrepl("psql", values, "replica", "--", "-Atc", "select pg_is_in_recovery()")
    assert (answer.returncode, answer.stdout) == (0, "t\n")
    assert pgrepl("psql", values, "nobody").returncode == 2

    assert json.loads(pgrepl("check", values, "--json").stdout)[0]["passed"] is True
    cluster.engine.stop("replica").do(lambda line: None)
    failed = pgrepl("check", values)
    assert (
        failed.returncode == 1
        and "what to do:" in failed.stdout
        and "Traceback" not in failed.stderr
    )
    assert pgrepl("run", values).returncode == 0, "a stopped replica is started again"
    refused = pgrepl("down", values)
    assert refused.returncode == 2 and cluster.engine.running("primary")
    assert pgrepl("down", values, "--yes").returncode == 0
    assert not cluster.existing() and folder.exists()
    assert "nothing of project" in pgrepl("down", values, "--yes").stdout


def test_a_failed_step_is_named_with_cause_and_remedy(values: Values) -> None:
    assert pgrepl("run", values, "--to", "01").returncode == 0
    cluster = open_cluster("", **values)
    cluster.primary.query("alter role repl nologin")
    done = pgrepl("run", values, "--from", "2")
    assert done.returncode == 1
    assert (
        "02-instancia-replica" in done.stderr
        and "what to do:" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert "not permitted to log in" in done.stderr, "the program's own message"
    assert len(done.stderr.splitlines()) < 40
    notebook = nbformat.read(run_folder(values) / "02-instancia-replica.ipynb", 4)
    assert notebook.metadata.pgrepl.status == "failed"
    assert "Este capítulo falhou" in "".join(c.source for c in notebook.cells)
    assert json.loads((run_folder(values) / "summary.json").read_text())["status"] == "failed"
    assert list(audit.Journal(run_folder(values)).entries())[-1]["status"] == "failed"
    cluster.primary.query("alter role repl login")
    assert pgrepl("run", values).returncode == 0


# Without Compose v2 in the user's own folder, as in .ci/run, all the others use v1.
@pytest.mark.parametrize("version", [pytest.param("v1", marks=pytest.mark.long), "v2"])
def test_run_with_either_compose(version: str, docker_ready: None, new_project: NewProject) -> None:
    if version == "v1" and not shutil.which("docker-compose"):
        pytest.skip("docker-compose (version 1) is not installed")
    if version == "v2" and not COMPOSE_V2.exists():
        pytest.skip(
            f"the Compose plug-in is not in {COMPOSE_V2} (tests/docker/engine puts it there)"
        )
    environment = {k: v for k, v in os.environ.items() if k != "DOCKER_CONFIG"}
    environment |= {"DOCKER_CONFIG": str(COMPOSE_V2)} if version == "v2" else {}
    with new_project("docker") as made:
        done = pgrepl("run", made, env=environment)
        assert done.returncode == 0, done.stderr
        facts = json.loads((run_folder(made) / "summary.json").read_text())["engine"]
        assert facts["compose"].startswith(
            {"v1": "docker-compose 1.", "v2": "docker compose 2."}[version]
        ), facts
        assert facts["digest"].startswith("sha256:") or "@sha256:" in facts["digest"]
        again = pgrepl("run", made, env=environment)
        assert again.returncode == 0 and " 0 steps changed" in again.stdout, (
            again.stdout + again.stderr
        )
        down = pgrepl("down", made, "--yes", env=environment)
        assert down.returncode == 0, down.stderr
        assert not open_cluster("", **made).existing()


@pytest.mark.parametrize("command", ["run", "status", "check", "psql", "down"])
def test_help_is_complete(command: str) -> None:
    done = pgrepl(f"{command} --help")
    assert done.returncode == 0 and "Exit codes" in done.stdout and "--project" in done.stdout


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["-p", "nonsense", "1"], 2, "no such parameter"),
        (["--from", "77"], 2, "no chapter"),
        (["--wrong"], 2, "No such option"),
        (["--pg-version", "13"], 2, "pg_version"),
        (["--engine", "podman"], 2, "engine"),
    ],
)
def test_bad_usage_is_refused_before_anything_is_touched(
    values: Values, more: list[str], code: int, said: str
) -> None:
    done = pgrepl("run", values, *more)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr, (
        done.stderr
    )
    assert not (Path(values["workdir"]) / values["project"]).exists()


def test_an_engine_that_is_not_there_is_named(values: Values) -> None:
    environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    done = pgrepl("run", values, "--engine", "docker", env=environment)
    assert (
        done.returncode == 3
        and "No Docker engine answers" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert not (Path(values["workdir"]) / values["project"]).exists()


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("runner.runner", "jupyterlab jupyter_server notebook rfc3987_syntax"),
        ("cli.main", "psycopg pandas docker papermill tenacity"),  # each command waits for it
        ("checks.status", "pandas docker papermill"),
    ],
)
def test_nothing_is_imported_that_is_not_needed(module: str, unwanted: str) -> None:
    program = f"""import sys, pgrepl_lib.{module}
roots = {{m.split(".")[0] for m, loaded in sys.modules.items() if loaded is not None}}
print(sorted(roots & set("{unwanted}".split())))"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("given", [DOCUMENT, {"tls": "on"}], ids=["as in the document", "TLS"])
@pytest.mark.parametrize("engine", ["local", "docker"])
def test_every_chapter_runs(
    values: Values, engine: str, given: Values, request: pytest.FixtureRequest
) -> None:
    """All operations and drills among them."""
    if engine == "docker":
        request.getfixturevalue("docker_ready")
    values |= {"engine": engine, "image": IMAGE, **given}
    done = pgrepl("run --to 09", values, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert "checks passed, 0 failed" in done.stdout
    left = run_folder(values)
    steps = json.loads((left / "summary.json").read_text())["steps"]
    assert (steps["expected_to_fail"], steps["failed"]) == (1, 0)
    assert 'errors="0"' in (left / "junit.xml").read_text()
