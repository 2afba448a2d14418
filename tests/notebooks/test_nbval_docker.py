"""The stored outputs on the docker engine. In a file of its own, so that another worker can take the other engine's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .compared import parameters, stored_outputs_are_what_happens


@pytest.mark.timeout(600)
def test_stored_outputs_are_what_happens_on_docker(
    workdir: Path,
    free_network: Callable[[], str],
    free_port: Callable[[], int],
    tmp_path: Path,
    docker_ready: None,
) -> None:
    stored_outputs_are_what_happens(
        parameters("docker", workdir, free_network(), free_port()), tmp_path
    )
