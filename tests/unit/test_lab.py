"""A user's own copies of the chapters: no outputs, own parameters, and never written over once they were changed."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jupyter_client.kernelspec import KernelSpecManager

from pgrepl_lib import open_cluster
from pgrepl_lib.cli.lab import copies, opening
from pgrepl_lib.cli.main import main
from pgrepl_lib.cluster import state
from pgrepl_lib.doors import command, resources, show
from pgrepl_lib.journal import audit
from pgrepl_lib.params import Params, variable
from tests.notebooks.chapters import CHAPTERS, NOTEBOOKS

FIRST = "00-preparacao.ipynb"
Opened = tuple[list[str], dict[str, str]]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two chapters that a later version may change."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in (FIRST, "99-limpeza.ipynb", "README.md"):
        (folder / name).write_bytes((NOTEBOOKS / name).read_bytes())
    monkeypatch.setattr(copies, "NOTEBOOKS", folder)
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Opened]:
    """What would have been started, with which variables."""
    started: list[Opened] = []

    def become(argv: list[str], variables: dict[str, str]) -> None:
        started.append((argv, variables))

    monkeypatch.setattr(command, "become", become)
    for name in (
        "PGREPL_LANG",
        "JUPYTER_CONFIG_PATH",
        "JUPYTER_PATH",
        *map(variable, Params.model_fields),
    ):
        monkeypatch.delenv(name, raising=False)
    return started


def lab(*words: str) -> str:
    done = CliRunner().invoke(main, ["--lang", "en", "lab", *words])
    assert done.exit_code == 0, done.output
    return done.output


def cells(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text("utf-8"))["cells"])


def values(path: Path) -> dict[str, Any]:
    """What the cell of parameters gives."""
    (cell,) = (c for c in cells(path) if "parameters" in c["metadata"].get("tags", []))
    tree = ast.parse("".join(cell["source"])).body
    return {n.targets[0].id: ast.literal_eval(n.value) for n in tree}  # type: ignore[attr-defined]


def edited(path: Path) -> bytes:
    """The participant writes into a copy; what it holds then."""
    path.write_text(path.read_text("utf-8").replace("# ", "# Minha anotação: ", 1), "utf-8")
    return path.read_bytes()


def republished(path: Path) -> None:
    """A later version of the chapter."""
    path.write_text(path.read_text("utf-8").replace("## Parâmetros", "## Os parâmetros"), "utf-8")


def test_copies_hold_all_but_what_somebody_elses_run_showed(tmp_path: Path) -> None:
    assert copies.renew(tmp_path, {}) == {}
    for chapter in CHAPTERS:
        copied, original = (cells(f / f"{chapter}.ipynb") for f in (tmp_path, NOTEBOOKS))
        assert [(c["id"], c["source"]) for c in copied] == [
            (c["id"], c["source"]) for c in original
        ]
        code = [c for c in copied if c["cell_type"] == "code"]
        assert code and not any(c["outputs"] or c["execution_count"] for c in code)
    assert (tmp_path / "README.md").read_bytes() == (NOTEBOOKS / "README.md").read_bytes()


def test_all_chapters_have_the_parameters_that_were_asked_for(tmp_path: Path) -> None:
    asked = {"project": "aluna-1", "replicas": 2, "settings": {"work_mem": '8MB  # não "é" \''}}
    copies.renew(tmp_path, asked)
    for chapter in CHAPTERS:
        name = f"{chapter}.ipynb"
        assert values(tmp_path / name) == {**values(NOTEBOOKS / name), **asked}


def test_the_same_chapters_leave_a_users_copies_as_they_are(shipped: Path, tmp_path: Path) -> None:
    copies.renew(tmp_path / "own", {})
    mine = edited(tmp_path / "own" / FIRST)
    assert copies.renew(tmp_path / "own", {}) == {}
    assert (tmp_path / "own" / FIRST).read_bytes() == mine


def test_a_new_chapter_replaces_a_copy_that_nobody_changed(shipped: Path, tmp_path: Path) -> None:
    copies.renew(tmp_path / "own", {})
    republished(shipped / FIRST)
    assert copies.renew(tmp_path / "own", {}) == {}
    assert "## Os parâmetros" in (tmp_path / "own" / FIRST).read_text("utf-8")
    assert not list((tmp_path / "own").glob("*.anterior*"))


def test_a_changed_copy_is_kept_under_another_name_each_time(shipped: Path, tmp_path: Path) -> None:
    own, mine = tmp_path / "own", []
    copies.renew(own, {})
    for number in range(3):
        mine.append(edited(own / FIRST))
        moved = copies.renew(own, {"project": f"other-{number}"})
        assert moved == {FIRST: f"00-preparacao.anterior{f'-{number + 1}' * (number > 0)}.ipynb"}
        assert values(own / FIRST)["project"] == f"other-{number}"
    kept = ("00-preparacao.anterior", "00-preparacao.anterior-2", "00-preparacao.anterior-3")
    assert [(own / f"{name}.ipynb").read_bytes() for name in kept] == mine


@pytest.mark.parametrize("record", ["", "{", "7", "[]", '{"00-preparacao.ipynb": 7}'])
def test_without_a_record_nothing_of_a_users_is_lost(
    shipped: Path, tmp_path: Path, record: str
) -> None:
    own = tmp_path / "own"
    copies.renew(own, {})
    mine = edited(own / FIRST)
    (own / copies.RECORD).write_text(record, "utf-8")
    assert copies.renew(own, {}) == {FIRST: "00-preparacao.anterior.ipynb"}
    assert (own / "00-preparacao.anterior.ipynb").read_bytes() == mine
    assert copies.renew(own, {}) == {}


def test_a_copy_that_is_gone_comes_back(shipped: Path, tmp_path: Path) -> None:
    copies.renew(tmp_path / "own", {})
    (tmp_path / "own" / FIRST).unlink()
    assert copies.renew(tmp_path / "own", {}) == {}
    assert (tmp_path / "own" / FIRST).exists()


def test_the_project_is_set_once_for_chapters_and_terminal(
    opened: list[Opened], tmp_path: Path
) -> None:
    place = ("-p", "workdir", str(tmp_path / "pasta é x"))
    told = lab("--project", "aluna", "--settings", '{"work_mem": "8MB"}', *place, "--", "--ip=::1")
    ((argv, variables),) = opened
    folder = tmp_path / "pasta é x" / "aluna" / resources.COPIES
    assert f"your chapters: {folder}" in told and folder.stat().st_mode & 0o777 == 0o700
    assert argv[1:4] == ["-P", "-m", "jupyterlab"] and argv[-1] == "--ip=::1"
    found = values(folder / FIRST)
    assert (found["project"], found["settings"]) == ("aluna", {"work_mem": "8MB"})
    asked = {n: variables[v] for n in Params.model_fields if (v := variable(n)) in variables}
    assert Params.parse(asked) == Params.parse(found)
    assert set(asked) == {"project", "settings", "workdir"}, "the rest is the project's own"


def test_nothing_asked_for_leaves_the_parameters_as_they_are(
    opened: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrepl_lib.params.default_workdir", lambda: tmp_path)
    lab()
    folder = tmp_path / "pgrepl" / resources.COPIES
    assert values(folder / FIRST) == values(NOTEBOOKS / FIRST)
    assert not {variable(name) for name in Params.model_fields} & opened[0][1].keys()


def test_the_terminal_finds_pgrepl_and_speaks_portuguese_unless_asked_otherwise(
    opened: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("-p", "workdir", str(tmp_path))
    assert CliRunner().invoke(main, ["lab", *place]).exit_code == 0
    lab(*place)
    before, after = (variables for _, variables in opened)
    assert (Path(before["PATH"].split(":")[0]) / "pgrepl").exists()
    assert (before["PGREPL_LANG"], after["PGREPL_LANG"]) == ("pt_BR", "en")


@pytest.mark.parametrize(
    ("exported", "in_a_run", "told"),
    [
        ({"PGREPL_PROJECT": "mine"}, False, False),
        ({"PGREPL_PROJECT": "other"}, False, True),
        ({"PGREPL_PROJECT": "No Name"}, False, False),  # which a command says itself
        ({}, False, True),
        ({}, True, False),
    ],
)
def test_a_reader_who_changes_the_project_in_a_cell_is_told_how_a_terminal_means_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exported: dict[str, str],
    in_a_run: bool,
    told: bool,
) -> None:
    for name in map(variable, Params.model_fields):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**exported, "PGREPL_WORKDIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    if in_a_run:
        monkeypatch.setenv(audit.RUN_FOLDER, str(tmp_path / "run"))
    shown: list[str] = []
    monkeypatch.setattr(show, "markdown", shown.append)
    open_cluster("05-falhas", project="mine", engine="local", workdir=tmp_path)
    command = f"`pgrepl status --project mine -p workdir {tmp_path} --engine local`"
    back = [f'`project = "{exported.get("PGREPL_PROJECT", "pgrepl")}"`' in x for x in shown]
    assert [command in text for text in shown] == back and any(back) is told


def test_the_chapters_have_what_the_project_was_made_with(
    opened: list[Opened], tmp_path: Path
) -> None:
    made = Params.parse({"project": "had", "workdir": tmp_path, "replication_user": "streamer"})
    ports = {"primary": 15432, "replica": 15433}
    made.folder.mkdir(mode=0o755)
    state.write(made, "", "local", ports, state.Topology())
    lab("--project", "had", "-p", "workdir", str(tmp_path))
    assert values(made.folder / resources.COPIES / FIRST)["replication_user"] == "streamer"
    words = ["--project", "had", "-p", "workdir", str(tmp_path), "--replication-user", "repl"]
    refused = CliRunner().invoke(main, ["--lang", "en", "lab", *words])
    assert (refused.exit_code, len(opened)) == (2, 1) and "other parameters" in refused.output


def test_a_cluster_made_with_trust_may_be_hardened_by_its_chapters(
    opened: list[Opened], tmp_path: Path
) -> None:
    made = Params.parse({"project": "had", "workdir": tmp_path, "auth_method": "trust"})
    made.folder.mkdir(mode=0o755)
    ports = {"primary": 15432, "replica": 15433}
    state.write(made, "", "local", ports, state.Topology())
    for asked, found in (([], "trust"), (["--auth-method", "scram-sha-256"], "scram-sha-256")):
        lab("--project", "had", "-p", "workdir", str(tmp_path), *asked)
        assert values(made.folder / resources.COPIES / FIRST)["auth_method"] == found


def test_its_kernels_tell_errors_as_chapters_do_from_their_first_cell_on(
    opened: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab("--project", "kernels", "-p", "workdir", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", opened[0][1]["JUPYTER_PATH"])
    argv = KernelSpecManager().get_kernel_spec("python3").argv
    assert argv[0] == sys.executable and opening.EXTENSION in argv


def test_a_hub_gets_the_same_as_one_of_its_servers(
    opened: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("-p", "workdir", str(tmp_path))
    lab(*place)
    monkeypatch.setenv(opening.OF_A_HUB, "http://127.0.0.1:1/user/ana/")
    lab(*place)
    (alone, _), (served, _) = opened
    assert alone[3] == "jupyterlab" and served[3] == "jupyterhub.singleuser"
    assert f"--ServerApp.jpserver_extensions={opening.ACTIVITY}" in served
    assert [w for w in alone[4:] if w not in served] == []


def test_a_machine_without_jupyterlab_is_told_how_to_get_it(
    opened: list[Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    done = CliRunner().invoke(main, ["--lang", "en", "lab", "-p", "workdir", str(tmp_path)])
    assert done.exit_code == 3 and "-m pip install 'jupyterlab" in done.output
    assert not opened and not list(tmp_path.iterdir())


def test_a_relative_work_folder_is_not_made_among_the_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / resources.COPIES
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert Params.parse({"workdir": "x"}).workdir == folder / "x", "a folder of that name"
    copies.renew(folder, {})
    assert Params.parse({"workdir": "x"}).workdir == Path.home() / "x"


def test_the_menus_that_are_named_are_jupyterlabs() -> None:
    schema = Path(pytest.importorskip("jupyterlab").__file__).parent / "schemas"
    plugin = schema / "@jupyterlab" / "mainmenu-extension" / "plugin.json"
    known = json.loads(plugin.read_text("utf-8"))["jupyter.lab.menus"]["main"]
    file = opening.CONFIGURATION / "labconfig" / "default_setting_overrides.json"
    named = json.loads(file.read_text("utf-8"))["@jupyterlab/mainmenu-extension:plugin"]["menus"]
    assert {m["id"] for m in named} <= {m["id"] for m in known}
