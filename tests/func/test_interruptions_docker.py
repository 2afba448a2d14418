"""Runs that end before their time, on the docker engine; and an engine that is restarted in mid-run."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgrepl_lib import open_cluster

from ..conftest import IMAGE
from .interrupted import Interrupted, stopped_in_every_way
from .running import Values


@pytest.fixture
def values(
    docker_ready: None, workdir: Path, free_network: Callable[[], str], free_port: Callable[[], int]
) -> Iterator[Values]:
    """The parameters of a new project on the docker engine; removed afterwards."""
    made = {"project": f"i{secrets.token_hex(3)}", "engine": "docker", "workdir": str(workdir),
            "network": free_network(), "port": str(free_port()), **({"image": IMAGE} if IMAGE else {})}  # fmt: skip
    yield made
    open_cluster("", **made).remove(confirm=True)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_run_killed_after_every_step_goes_on(values: Values) -> None:
    project = Interrupted(values, tree=False)
    project.kill_everywhere()
    project.require_all_well()


@pytest.mark.long
def test_a_run_that_is_stopped_says_how_and_is_gone_on_with(values: Values) -> None:
    stopped_in_every_way(values)
