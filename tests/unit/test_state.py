"""What a project was made with: its ports are nobody else's, wherever the other's work folder is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pgrepl_lib.cluster import state
from pgrepl_lib.cluster.topology import Topology
from pgrepl_lib.errors import ParameterError
from pgrepl_lib.params import Params

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
    assert len([p for p in (home / ".known").iterdir() if p.is_symlink()]) == 1, (
        "what is gone is not known for ever"
    )


def test_where_the_default_work_folder_cannot_be_written_ports_are_chosen_all_the_same(
    tmp_path: Path, home: Path
) -> None:
    home.write_text("a file, which not even root can make a folder in")
    taken = [port for project in ("one", "two") for port in begin(tmp_path / "a", project)]
    assert len(set(taken)) == 4


def test_ports_stay_when_the_first_primary_is_removed() -> None:
    """Its port was the one asked for; the others run on theirs."""
    asked, had = Params(port=7000), {"replica": 7001, "replica-2": 7002}
    made = {"params": {"port": 7000}, "ports": had}
    assert state.ports(asked, made, list(had)) == had
    state.refuse_changes({"port": 7000}, {**made, "params": asked.plain()})
    with pytest.raises(ParameterError, match="other parameters"):
        state.refuse_changes({"port": 8000}, {**made, "params": asked.plain()})


def test_looking_at_ports_makes_no_folder(tmp_path: Path, home: Path) -> None:
    state.ports(Params(workdir=tmp_path / "a"), {}, NAMES)
    assert list(tmp_path.iterdir()) == []


# --- a record that somebody has changed ----------------------------------------------------------------------------

MADE: dict[str, Any] = {
    "id": "0123456789abcdef",
    "engine": "local",
    "ports": {"primary": 7000, "replica": 7001},
    "params": {},
    "topology": {
        "primary": "primary",
        "upstreams": {"replica": "primary"},
        "fenced": {},
        "operation": {},
        "synchronous": "",
    },
}
OTHER = "replica-2"


def topology(**roles: Any) -> dict[str, Any]:
    return {**MADE, "topology": {**MADE["topology"], **roles}}


DAMAGED: dict[str, Any] = {
    "not a mapping": [],
    "nothing": None,
    "an empty one": {},
    "no ports": {**MADE, "ports": {}},
    "a port as text": {**MADE, "ports": {"primary": "7000"}},
    "a negative port": {**MADE, "ports": {"primary": -1}},
    "a port that is none": {**MADE, "ports": {"primary": 70000}},
    "a port that is true": {**MADE, "ports": {"primary": True}},
    "half a port": {**MADE, "ports": {"primary": 7000.5}},
    "a port's name that leads out": {**MADE, "ports": {"primary": 7000, "../x": 7001}},
    "another engine": {**MADE, "engine": "podman"},
    "an id with a line": {**MADE, "id": "x\nPGREPL_IMAGE=y"},
    "no parameters": {**MADE, "params": []},
    "a wrong parameter": {**MADE, "params": {"replicas": 99}},
    "an unknown parameter": {**MADE, "params": {"x": 1}},
    "no topology": {**MADE, "topology": None},
    "an unknown role": topology(arbiter=OTHER),
    "a primary that leads out": topology(primary="../../x-2"),
    "an upstream that leads out": topology(upstreams={"replica": "../../x-2"}),
    "a replica that leads out": topology(upstreams={"../../x-2": "primary"}),
    "an absolute name": topology(upstreams={"/etc": "primary"}),
    "a name with a line": topology(upstreams={"replica\n": "primary"}),
    "replica-1": topology(upstreams={"replica-1": "primary"}),
    "a number too long": topology(upstreams={"replica-1000": "primary"}),
    "a fenced one that leads out": topology(fenced={"../../x-2": {}}),
    "a fenced one without facts": topology(fenced={OTHER: 1}),
    "one that follows nobody": topology(upstreams={"replica": OTHER}),
    "one that follows itself": topology(upstreams={OTHER: OTHER}),
    "a circle": topology(upstreams={"replica": OTHER, OTHER: "replica"}),
    "a primary that follows": topology(upstreams={"primary": "primary"}),
    "half an operation": topology(operation={"kind": "switchover"}),
    "an operation without a kind": topology(operation={"from": "primary", "to": "replica"}),
    "an operation of no kind that there is": topology(
        upstreams={"replica": "primary"},
        operation={"kind": "x", "from": "primary", "to": "replica"},
    ),
    "an operation from one to itself": topology(
        operation={"kind": "failover", "from": "primary", "to": "primary"}
    ),
    "one port for two": {**MADE, "ports": {"primary": 7000, "replica": 7000}},
    "a work folder that is a number": {**MADE, "params": {"workdir": 7}},
    "an operation that leads out": topology(
        operation={"kind": "switchover", "from": "primary", "to": "../../x-2"}
    ),
    "an operation as text": topology(operation="switchover"),
    "synchronous with whom": topology(synchronous="ANY 1 (x)"),
}
BYTES = {
    "deep lists": b"[" * 100_000,
    "deep mappings": b'{"a":' * 100_000,
    "no text": b"\xff\xfe\x00",
    "half": b'{"id": "',
}


@pytest.mark.parametrize("what", [*DAMAGED, *BYTES])
def test_a_damaged_record_is_an_error_that_says_what_is_wrong(what: str, tmp_path: Path) -> None:
    path = tmp_path / state.FILE
    path.write_bytes(BYTES[what] if what in BYTES else json.dumps(DAMAGED[what]).encode())
    with pytest.raises(ParameterError, match="is damaged") as caught:
        state.read(tmp_path)
    assert str(path) in caught.value.cause and caught.value.looked_at and caught.value.remedy


def test_a_record_that_cannot_be_read_is_one_too(tmp_path: Path) -> None:
    (tmp_path / state.FILE).mkdir()
    with pytest.raises(ParameterError, match="is damaged") as caught:
        state.read(tmp_path)
    assert "directory" in str(caught.value)


@pytest.mark.parametrize(
    "made",
    [
        MADE,
        {k: v for k, v in MADE.items() if k not in ("id", "topology")},
        topology(synchronous="ANY 1"),
        topology(
            primary="replica",
            upstreams={OTHER: "replica", "replica-999": OTHER},
            fenced={"primary": {"snapshot": "1:1:"}},
            operation={"kind": "failover", "from": "primary", "to": "replica", "seen": "1:1:"},
        ),
    ],
)
def test_what_was_written_is_read_again(made: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / state.FILE).write_text(json.dumps(made))
    found = state.read(tmp_path)
    assert Topology.of(found, 0) == Topology.of(made, 0)
    assert found["params"]["network"] == "192.168.55.0/24", (
        "what an earlier version did not have is the default"
    )


def test_the_instance_primary_may_be_gone(tmp_path: Path, home: Path) -> None:
    """After a switchover it is a replica like any other, and can be removed."""
    made = {"ports": {"replica": 7001, OTHER: 7002}}
    assert state.ports(Params(workdir=tmp_path), made, ["replica", OTHER]) == made["ports"]
