"""What a project was made with: its ports are nobody else's, wherever the other's work folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrepl_lib import state
from pgrepl_lib.params import Params
from pgrepl_lib.topology import Topology

NAMES = ["primary", "replica"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default work folder of a user who has none yet."""
    monkeypatch.setattr(state, "default_workdir", lambda: tmp_path / "home")
    return tmp_path / "home"


def begin(workdir: Path, project: str = "one") -> list[int]:
    """A project chooses its ports and records them; nothing listens there yet."""
    params = Params(project=project, workdir=workdir)
    params.folder.mkdir(parents=True)
    with state.reserving(params):
        ports = state.ports(params, {}, NAMES)
        state.write(params, "x", "local", ports, Topology.of({}, 1))
    return list(ports.values())


def test_the_ports_of_other_work_folders_are_not_taken(tmp_path: Path, home: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b", home]
    taken = [port for place in places for port in begin(place)] + begin(tmp_path / "a", "two")
    assert len(set(taken)) == 8
    again = Params(project="one", workdir=tmp_path / "b")
    assert list(state.ports(again, state.read(again.folder), NAMES).values()) == taken[2:4]


def test_the_ports_of_a_project_that_is_gone_are_free(tmp_path: Path, home: Path) -> None:
    taken = begin(tmp_path / "a")
    (tmp_path / "a/one/cluster.json").unlink()
    (tmp_path / "a/one").rename(tmp_path / "moved")
    assert begin(tmp_path / "b") == taken
    assert len([p for p in (home / ".known").iterdir() if p.is_symlink()]) == 1, "what is gone is not known for ever"


def test_where_the_default_work_folder_cannot_be_written_ports_are_chosen_all_the_same(tmp_path: Path, home: Path) -> None:
    home.write_text("a file, which not even root can make a folder in")
    taken = [port for project in ("one", "two") for port in begin(tmp_path / "a", project)]
    assert len(set(taken)) == 4


def test_looking_at_ports_makes_no_folder(tmp_path: Path, home: Path) -> None:
    state.ports(Params(workdir=tmp_path / "a"), {}, NAMES)
    assert list(tmp_path.iterdir()) == []
