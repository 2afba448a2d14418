"""What earlier versions wrote is read, listed, reported, compared and verified.

`tests/earlier/projects.tar.xz` has a project of each, as it was recorded: a run that was killed, one that failed, one that
completed, and a switchover that was killed before the promotion.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from pgrepl_lib import open_cluster
from pgrepl_lib.cli.main import main
from pgrepl_lib.cluster import state
from pgrepl_lib.cluster.changes import underway
from pgrepl_lib.cluster.topology import Topology
from pgrepl_lib.drift import recorded
from pgrepl_lib.journal import compare, runs
from pgrepl_lib.journal.audit import Journal
from pgrepl_lib.params import Params

from ..earlier import VERSIONS, unpacked

ENDED = ["killed", "failed", "completed"]
NAMES = {"en": ENDED, "pt": ["morto sem registrar o fim", "falhou", "concluído"]}


VERDICTS = {
    "en": ["Interrupted without a record", "Failed in chapter 01", "Completed: 13 of 13"],
    "pt": ["Interrompida sem fim registrado", "Falhou no capítulo 01", "Concluída: 13 de 13"],
}


@pytest.fixture(scope="module", params=VERSIONS)
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project that this version made."""
    return unpacked(request.param, tmp_path_factory.mktemp("earlier"))


def pgrepl(project: Path, *words: str, language: str = "en") -> Result:
    where = ["--project", project.name, "-p", "workdir", str(project.parent)]
    return CliRunner().invoke(main, ["--lang", language, *words, *where])


@pytest.mark.parametrize("language", NAMES)
def test_its_runs_are_listed(original: Path, language: str) -> None:
    for options in ([], ["--all"]):
        done = pgrepl(original, "runs", *options, language=language)
        lines = done.stdout.splitlines()[1:]
        assert done.exit_code == 0 and len(lines) == len(ENDED), done.output
        assert all(name in line for name, line in zip(NAMES[language], lines, strict=True))
    listed = json.loads(pgrepl(original, "runs", "--json").stdout)
    assert [r["status"] for r in listed] == ENDED and listed[-1]["passed"] == 13
    assert [r["changed"] for r in listed] == [2, 8, 16]


@pytest.mark.parametrize("language", NAMES)
def test_each_run_is_reported(original: Path, tmp_path: Path, language: str) -> None:
    for run, verdict in zip(runs.of_project(original), VERDICTS[language], strict=True):
        page = tmp_path / f"{run.name}.html"
        done = pgrepl(original, "report", run.name, "--output", str(page), language=language)
        assert done.exit_code == 0, done.output
        html = page.read_text("utf-8")
        assert run.name in html and verdict in html and f'<html lang="{language}' in html
        assert all(step["title"] in html for step in run.of("step")), "as it was said then"


def test_each_run_is_verified(original: Path) -> None:
    for run in runs.of_project(original):
        key = run.folder / "signer.pub"
        if run.status == "killed":
            done = pgrepl(original, "verify", run.name)
            assert done.exit_code == 1 and "the run never ended and is not signed" in done.output
            continue
        done = pgrepl(original, "verify", run.name, "--key", str(key))
        assert done.exit_code == 0 and f"verified: run {run.name}" in done.stdout, done.output
        assert run.own_name == run.name and f"the run {run.status}" in done.stdout
    assert pgrepl(original, "verify", "--key", str(key)).exit_code == 0, "it is the last, too"


def test_a_changed_byte_is_found(original: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs.of_project(original)[-1].folder, tmp_path / "copy"))
    with (copy / "03-verificacao.ipynb").open("a") as file:
        file.write(" ")
    done = pgrepl(original, "verify", str(copy), "--key", str(copy / "signer.pub"))
    assert done.exit_code == 1 and "03-verificacao.ipynb" in done.output


def test_two_of_its_runs_are_compared(original: Path) -> None:
    _, failed, completed = runs.of_project(original)
    done = pgrepl(original, "diff", failed.name, completed.name)
    assert done.exit_code == 0 and "settings.shared_buffers: 900GB" in done.stdout, done.output
    assert "03-verificacao: not reached → completed" in done.stdout


def test_runs_of_two_earlier_versions_have_the_same_steps_and_checks(tmp_path: Path) -> None:
    old, new = (runs.of_project(unpacked(v, tmp_path / v))[-1] for v in VERSIONS)
    found = compare.compare(old, new)
    assert ("versions", "repository.commit") in {(d.group, d.name) for d in found}
    assert not [d for d in found if d.group in ("steps", "checks") and None in (d.old, d.new)]


def test_its_journal_is_whole(original: Path) -> None:
    journal = Journal.of_project(original)
    assert journal.first_broken_line() is None and not list(journal.broken())
    assert [e["outcome"] for e in journal.entries() if e["kind"] == "step"] == ["changed"] * 2


def test_its_record_becomes_todays(original: Path, tmp_path: Path) -> None:
    made = state.read(original)
    params, topology = Params.parse(made["params"]), Topology.of(made, 0)
    assert (topology.primary, topology.upstreams) == ("primary", {"replica": "primary"})
    there = params.model_copy(update={"workdir": tmp_path})
    there.folder.mkdir()
    state.write(there, made.get("id") or uuid4().hex, "local", made["ports"], topology)
    now = state.read(there.folder)
    assert len(now["id"]) == 32 and now["ports"] == made["ports"]
    assert {**now["params"], "workdir": made["params"]["workdir"]} == made["params"]
    assert Topology.of(now, 0) == topology


def test_what_it_recorded_is_known(original: Path) -> None:
    made = state.read(original)["params"]
    cluster = open_cluster("", **made | {"workdir": str(original.parent)})
    record = recorded.read(cluster)
    assert record and record.run == runs.of_project(original)[-1].name
    assert set(record.state["instances"]) == {"primary", "replica"}
    assert "work_mem = '8MB'" in record.texts["primary/postgresql.conf"]


def test_its_unfinished_switchover_is_told_with_both_ways_on(original: Path) -> None:
    params, made = Params.of_folder(original), state.read(original)
    line = underway.told(Topology.of(made, 0), params)
    assert line.startswith("a switchover from primary to replica was interrupted, unfinished")
    for way in ("--to replica` finishes it", "--cancel` takes it back"):
        assert way in line
