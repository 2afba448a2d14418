"""What goes wrong in a class: the disk is full, servers are killed, the machine stops. Nobody loses anything."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from pgrepl_lib.classroom import roster, users

from .disks import mounted
from .participant import Participant
from .room import Room, class_of

pytest.importorskip("jupyterhub", reason="a class needs pgrepl[hub]")
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a class has system users: only root"),
]
QUOTA = 1200  # megabytes: for a cluster with one replica, and what a run leaves
SMALL = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=300m none "$0" && exec "$@"')
DONE = "completed:"


@pytest.fixture(scope="module")
def room(free_port: Any) -> Iterator[Room]:
    """Ana has a disk of her own, as a quota would give her."""
    with class_of("ana,bia", free_port()) as made:
        home = made.folder / "people/ana"
        owner = home.stat()
        with mounted(home, f"size={QUOTA}m,mode=700,uid={owner.st_uid},gid={owner.st_gid}") as why:
            if why:
                pytest.skip(why)
            yield made
            users.end(f"{made.name}-ana")


@pytest.fixture(scope="module")
def ana(room: Room) -> Participant:
    return with_cluster(room, "ana")


@pytest.fixture(scope="module")
def bia(room: Room) -> Participant:
    return with_cluster(room, "bia")


def with_cluster(room: Room, name: str) -> Participant:
    found = room.signed_in(name)
    told = found.typed("pgrepl --lang en run")
    assert DONE in told, told
    return found


def test_a_class_is_not_made_where_the_disk_has_no_room_for_it(room: Room) -> None:
    other = f"{room.name}x"
    asked = ("--participants", "2", "--port", str(room.port + 5))
    refused = room.answers("create", *asked, name=other, prefix=(*SMALL, str(roster.CLASSES)))
    assert refused.returncode == 3, refused.stderr
    assert "GB free in /var/lib/pgrepl-classes" in refused.stderr
    assert "free at least 2 GB" in refused.stderr
    assert not (roster.CLASSES / other).exists() and not users.found(f"{other}-p01")


def test_who_fills_the_disk_is_told_and_harms_nobody(
    room: Room, ana: Participant, bia: Participant
) -> None:
    said = ana.typed("head -c 1500M /dev/zero > big")
    assert "No space left" in said
    ana.typed(
        "pgrepl --lang en psql primary -c 'create table t as select generate_series(1, 99999)'"
    )
    told = ana.typed("pgrepl --lang en run")
    assert re.search("(?i)no space|full|disk", told) and "Traceback" not in told, told
    assert "0 failed" in bia.typed("pgrepl --lang en check")
    assert room.does("list")["answers"]
    told = ana.typed("rm big; pgrepl --lang en run")
    assert DONE in told, told


def test_who_kills_all_that_he_runs_goes_on_where_he_was(room: Room, bia: Participant) -> None:
    bia.typed("pkill -9 postgres")
    assert "not running" in bia.typed("pgrepl --lang en status").replace("stopped", "not running")
    told = bia.typed("pgrepl --lang en run")
    assert DONE in told, told
    kill(room.processes("bia"))
    bia.open_again()
    assert DONE in bia.typed("pgrepl --lang en run")


def test_after_the_machine_has_stopped_everybody_goes_on(
    room: Room, ana: Participant, bia: Participant
) -> None:
    bia.typed("pgrepl exercise start missing-rule")
    before = {name: instances(room, name) for name in ("ana", "bia")}
    hub = [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(room.folder / "hub")]
    kill([*hub, *room.processes("ana"), *room.processes("bia")])
    assert not room.does("list")["answers"] and not instances(room, "bia")
    room.does("start")
    assert {name: instances(room, name) for name in ("ana", "bia")} == before
    again = room.signed_in("bia")
    told = again.typed("pgrepl exercise list --json")
    assert "begun" in told, told
    assert DONE in again.typed("pgrepl --lang en run")


def test_what_ran_when_the_class_was_stopped_runs_again(room: Room, bia: Participant) -> None:
    before = instances(room, "bia")
    room.does("stop")
    assert before and not instances(room, "bia")
    room.does("start")
    assert instances(room, "bia") == before


def kill(there: list[psutil.Process]) -> None:
    for each in there:
        with suppress(psutil.NoSuchProcess):  # some end with others
            each.kill()
    psutil.wait_procs(there, timeout=10)


def instances(room: Room, name: str) -> int:
    return int(room.people()[name]["instances"])
