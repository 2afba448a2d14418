"""Which answers of the tools mean that an instance has ended: what is not known to have ended lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrepl_lib.engine import life, processes
from pgrepl_lib.engine.life import Life

# Of Docker's interface (ContainerInspect, State.Status), and one that it may learn.
STATUSES = {
    "created": True,
    "exited": True,
    "dead": True,
    "removing": True,
    "running": False,
    "paused": False,
    "restarting": False,
    "hibernating": False,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_container_has_ended_only_where_its_status_says_so(status: str) -> None:
    assert life.of_container(status).ended is STATUSES[status]


def test_only_what_is_absent_or_stopped_has_ended() -> None:
    assert {each for each in Life if each.ended} == {Life.ABSENT, Life.STOPPED}


def test_a_folder_without_a_server_is_absent_or_stopped(tmp_path: Path) -> None:
    """Also with a pid file whose number is another program's, here our own."""
    assert processes.life(tmp_path / "data") is Life.ABSENT
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert processes.life(tmp_path) is Life.STOPPED
