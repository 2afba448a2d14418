"""A class on one host: a real Hub, system users, and participants who sign in, work, and stay out of each other's."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from pgrepl_lib.classroom import roster, users
from pgrepl_lib.doors.wait import wait_until

from .participant import Participant
from .room import Room, class_of

pytest.importorskip("jupyterhub", reason="a class needs pgrepl[hub]")
from pgrepl_lib.classroom.room import NOBODY, reader

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a class has system users: only root")
NAMES = ("ana", "bia")


@pytest.fixture(scope="module")
def room(free_port: Any) -> Iterator[Room]:
    with class_of(",".join(NAMES), free_port()) as made:
        yield made


@pytest.fixture(scope="module")
def leader(room: Room) -> Participant:
    """Who sees the room."""
    seen = room.does("list")["leader"]
    found = Participant(room.port, seen["login"])
    assert found.sign_in(seen["password"]) == 200
    return found


@pytest.fixture(scope="module")
def bia(room: Room) -> Participant:
    """She has a cluster that works."""
    found = room.signed_in("bia")
    told = found.typed("pgrepl run && pgrepl status")
    assert "concluído" in told.encode().decode("unicode_escape"), told
    return found


@pytest.fixture(scope="module")
def ana(room: Room, bia: Participant) -> Participant:
    return room.signed_in("ana")


def test_a_participant_signs_in_and_makes_a_verified_replica(room: Room, bia: Participant) -> None:
    person = room.people()["bia"]
    assert (person["instances"], person["notebooks"]) == (2, True)
    assert 0 < person["memory (MB)"] < 2048
    first = bia.ask("api/contents/chapters/00-preparacao.ipynb")["content"]["cells"]
    assert 'project = "bia"' in str(first) and not any(c.get("outputs") for c in first)
    assert {p.username() for p in room.processes("bia")} == {bia.login}


def test_a_wrong_password_opens_nothing(room: Room, ana: Participant) -> None:
    stranger = Participant(room.port, ana.login)
    for password in ("", "wrong", room.people()["bia"]["password"]):
        assert stranger.sign_in(password) == 403
    shown = stranger.browser.get(f"{stranger.base}/hub/login", timeout=60).text
    assert "Entrar" in shown and "senha" in shown
    nobody = Participant(room.port, f"{room.name}-nobody")
    assert nobody.sign_in("x") == 403 and Participant(room.port, "root").sign_in("x") == 403


# What somebody tries who wants to see more than his own: each line names how it ended.
TRIES = """
import os, pathlib, socket, urllib.request, urllib.error, psycopg, resource
def tried(what, act):
    try:
        print(f"<{what}: {act()!r:.40}>")
    except urllib.error.HTTPError as error:
        print(f"<{what}: {error.code}>")
    except Exception as error:
        print(f"<{what}: {type(error).__name__}>")
people = pathlib.Path.home().parent
tried("home", lambda: os.listdir(people / "bia"))
tried("write", lambda: (people / "bia" / "x").write_text("x"))
tried("names", lambda: os.listdir(people))
tried("passwords", lambda: (people.parent / "passwords.json").read_text())
tried("class", lambda: (people.parent / "class.json").read_text())
tried("hub", lambda: os.listdir(people.parent / "hub"))
tried("program", lambda: open(psycopg.__file__, "a"))
tried("kill", lambda: os.kill(PID, 0))
tried("environment", lambda: open("/proc/PID/environ").read())
tried("server", lambda: urllib.request.urlopen("http://127.0.0.1:SERVER/user/LOGIN/api/contents"))
tried("hub's API", lambda: urllib.request.urlopen("http://127.0.0.1:HUB/hub/api/users"))
tried("database", lambda: psycopg.connect(host="127.0.0.1", port=DATABASE, user="postgres", password="x"))
tried("replication", lambda: psycopg.connect(host="127.0.0.1", port=DATABASE, user="repl"))
tried("docker", lambda: socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock"))
tried("tasks", lambda: resource.getrlimit(resource.RLIMIT_NPROC))
tried("memory", lambda: bytearray(3 * 1024**3))
print("that was " + "all")
"""
REFUSED = {
    "home": "PermissionError",
    "write": "PermissionError",
    "names": "PermissionError",
    "passwords": "PermissionError",
    "class": "PermissionError",
    "hub": "PermissionError",
    "program": "PermissionError",
    "kill": "PermissionError",
    "environment": "PermissionError",
    "server": "403",
    "hub's API": "403",
    "database": "OperationalError",
    "replication": "OperationalError",
    "tasks": "(1024, 1024)",
    "memory": "MemoryError",
}


def test_nobody_reaches_what_is_another_ones(
    room: Room, ana: Participant, bia: Participant
) -> None:
    notebooks = next(p for p in room.processes("bia") if "jupyterhub.singleuser" in p.cmdline())
    (server,) = [c.laddr.port for c in notebooks.net_connections() if c.status == "LISTEN"][:1]
    values = {
        "PID": notebooks.pid,
        "SERVER": server,
        "LOGIN": bia.login,
        "HUB": room.port + 1,
        "DATABASE": room.people()["bia"]["port range"].partition("-")[0],
    }
    code = TRIES
    for name, value in values.items():
        code = code.replace(name, str(value))
    told = ana.executed(code, "that was all")
    found = {what: how for what, how in REFUSED.items() if f"<{what}: {how}" in told}
    assert found == REFUSED, told
    assert "<docker: None>" not in told
    with pytest.raises(requests.HTTPError) as refused:
        ana.ask("api/contents", of=bia.login)
    assert refused.value.response.status_code in (403, 404)


def shown(room: Room, who: Participant, name: str) -> str:
    """What the leader's page says of a participant's last steps; empty where it is not there."""
    answer = who.browser.get(f"{who.base}/services/lideranca/", timeout=60)
    return answer.text.partition(f'<div id="{name}">')[2].partition("</ol>")[0]


def test_the_leader_sees_what_participants_do_and_nobody_else_does(
    room: Room, leader: Participant, bia: Participant, ana: Participant
) -> None:
    page = f"{leader.base}/services/lideranca/"
    assert leader.browser.get(f"{leader.base}/hub/", timeout=60).url == page
    assert shown(room, leader, "bia") and shown(room, leader, "ana")
    assert ana.browser.get(page, timeout=60).status_code == 403
    stranger = Participant(room.port, "root").browser
    assert "password_input" in stranger.get(page, timeout=60).text
    assert leader.browser.get(f"{leader.base}/hub/spawn", timeout=60).status_code == 403
    there = [p.info for p in psutil.process_iter(["cwd", "cmdline", "uids"])]
    served = [p for p in there if p["cwd"] == str(room.folder / "hub")]
    (user,) = [p["uids"].real for p in served if "pgrepl_lib.classroom.room" in p["cmdline"]]
    assert user == NOBODY * bool(reader()), "root's, only where the system knows nothing less"
    assert room.does("list")["leader"]["password"] not in str(room.does("start"))


@pytest.mark.long
def test_the_leader_sees_it_within_five_seconds(
    room: Room, leader: Participant, bia: Participant
) -> None:
    bia.typed("pgrepl exercise start missing-rule")
    assert "ainda não" not in shown(room, leader, "bia")
    told = bia.typed("pgrepl exercise check missing-rule")
    wait_until("it", lambda: ("ainda não" in shown(room, leader, "bia"), told), seconds=5)


def test_a_hub_that_is_killed_takes_nothing_with_it(
    room: Room, bia: Participant, leader: Participant
) -> None:
    before = {p.pid for p in room.processes("bia")}
    instances = room.people()["bia"]["instances"]
    hub = psutil.Process(int((room.folder / "hub/hub.pid").read_text()))
    hub.kill()
    psutil.wait_procs([hub], timeout=10)
    assert not room.does("list")["answers"]
    assert len(room.does("add", "caio")["people"]) == 3, "also while the Hub is dead"
    assert room.does("start")["answers"]
    left = {p.pid for p in room.processes("bia")}
    assert len(before & left) > 5 and room.people()["bia"]["instances"] == instances > 1
    wait_until("the page", lambda: (shown(room, leader, "caio"), "not there"), seconds=30)
    bia.wait_for_server()  # signed in as before
    assert bia.ask("api/status")["kernels"] == 0


def test_people_come_begin_anew_and_go(room: Room, ana: Participant) -> None:
    old = room.people()["ana"]["password"]
    assert len(room.does("add", "davi,eva")["people"]) == 5
    new = room.does("reset", "ana", "--password")["password"]
    with pytest.raises(requests.HTTPError):
        ana.ask("api/status")
    again = Participant(room.port, ana.login)
    assert (again.sign_in(old), again.sign_in(new)) == (403, 200)
    word = room.does("reset", "lideranca", "--password")["password"]
    who = Participant(room.port, "lideranca")
    assert (who.sign_in(word), bool(shown(room, who, "ana"))) == (200, True)
    kept = Path(room.does("reset", "bia")["kept"])
    assert list(kept.glob(".local/share/pgrepl/bia/runs/*")), "what was done is kept"
    assert room.people()["bia"]["instances"] == 0 and not list(
        (room.folder / "people/bia").iterdir()
    )
    refused = room.answers("remove", "caio")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    left = {p["name"] for p in room.does("remove", "caio", "--yes")["people"]}
    assert left == {"ana", "bia", "davi", "eva"}
    assert not users.found(f"{room.name}-caio")


def test_what_cannot_be_is_told_before_anything_is_touched(room: Room) -> None:
    other = f"{room.name}x"
    subprocess.run(["useradd", "--no-create-home", f"{other}-ana"], check=True)
    try:
        entry = pwd.getpwnam(f"{other}-ana")
        with socket.socket() as taker:
            taker.bind(("127.0.0.1", room.port + 8))
            taker.listen()
            asked = ("--names", "ana", "--port", str(room.port + 7))
            refused = room.answers("create", *asked, name=other)
        assert refused.returncode == 3, refused.stderr
        assert f"{other}-ana exists" in refused.stderr
        assert f"port {room.port + 8} is held by process {os.getpid()}" in refused.stderr
        assert not (roster.CLASSES / other).exists() and pwd.getpwnam(f"{other}-ana") == entry
    finally:
        subprocess.run(["userdel", f"{other}-ana"], check=True)
    again = room.answers("create", "--participants", "2")
    assert again.returncode == 2 and "There is a class" in again.stderr
    wrong = room.answers("create", "--names", "Ána,bia", name=other)
    assert wrong.returncode == 2 and "given: Ána" in wrong.stderr
    leads = room.answers("create", "--names", "ana,lideranca", name=other)
    assert leads.returncode == 2 and "the leader's login" in leads.stderr
    alone = room.answers("create", "--names", "ana", "--key", "/etc/hostname", name=other)
    assert alone.returncode == 2 and "go together" in alone.stderr
    by_nobody = room.answers("create", "--participants", "2", name=other, user=65534)
    assert by_nobody.returncode == 3 and "only root" in by_nobody.stderr
    unknown = room.answers("list", name=other)
    assert unknown.returncode == 2 and room.name in unknown.stderr


def test_the_page_shows_each_login_to_its_owner_alone(room: Room, tmp_path: Path) -> None:
    page = tmp_path / "cards.html"
    assert room.answers("list", "--page", str(page)).returncode == 0
    text = page.read_text("utf-8")
    assert all(p["login"] in text and p["password"] in text for p in room.people().values())
    assert page.stat().st_mode & 0o777 == 0o600 and str(room.port) in text


@pytest.mark.long
def test_an_interrupted_creation_is_finished_by_running_it_again(
    room: Room, free_port: Any
) -> None:
    other = Room(room.program[0], {}, free_port())
    other.variables = room.variables
    asked = ("--participants", "3", "--port", str(other.port))
    words = [*other.program, "create", other.name, *asked]
    begun = subprocess.Popen(words, env=other.variables, cwd="/", stderr=subprocess.PIPE, text=True)
    assert begun.stderr
    while f"{other.name}-p02" not in begun.stderr.readline():
        assert begun.poll() is None
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    try:
        assert "interrupted" in other.answers("start").stderr
        assert len(other.does("create", *asked)["people"]) == 3
        assert other.does("stop") and not other.does("list")["running"]
        assert other.does("start")["answers"]
    finally:
        other.does("destroy", "--yes")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_notebook_server_is_ended_when_nobody_uses_it_but_never_at_work(free_port: Any) -> None:
    with class_of("ana,bia", free_port(), "--idle", "1") as made:
        ana, _ = made.signed_in("ana"), made.signed_in("bia")
        code = "import time; print('it be' + 'gins', flush=True); time.sleep(400)"
        ana.executed(code, "it begins")
        wait_until(
            "the end of the idle one", lambda: (not notebooks(made)["bia"], "runs"), seconds=300
        )
        assert notebooks(made)["ana"]


def notebooks(room: Room) -> dict[str, bool]:
    return {name: person["notebooks"] for name, person in room.people().items()}
