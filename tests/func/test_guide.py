"""docs/guia.md followed by hand: its blocks, typed in order by a shell, build and show a cluster that replicates."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..conftest import IMAGE
from .test_runner import COMPOSE_V2

GUIDE = Path(__file__).parents[2] / "docs/guia.md"
OWN = {
    "PATH": os.environ["PATH"],
    "DOCKER_CONFIG": str(COMPOSE_V2),
    "PYTHONPATH": str(GUIDE.parents[1]),
}


def test_the_guide_works_as_it_is_written(
    docker_ready: None,
    tmp_path: Path,
    free_network: Callable[[], str],
    free_port: Callable[[], int],
) -> None:
    """Names, network and ports are made this test's own; everything else is typed as it stands."""
    text = GUIDE.read_text("utf-8")
    project, port, network = f"g{secrets.token_hex(3)}", free_port(), free_network()
    own = {
        "COMPOSE_PROJECT_NAME=pgrepl": f"COMPOSE_PROJECT_NAME={project}",
        "postgres:14": IMAGE or "postgres:14",
        "pg_temp": f"{project}_pg_temp",
        "repl_temp": f"{project}_repl_temp",
        "192.168.55.0/24": network,
    }
    for written, mine in own.items():
        assert written in text
        text = text.replace(written, mine)
    text = re.sub(r"PRIMARY_PORT=\d+", f"PRIMARY_PORT={port}", text)
    text = re.sub(r"REPLICA_PORT=\d+", f"REPLICA_PORT={port + 1}", text)
    text = text.replace("$HOME/pgrepl", f"$HOME/{project}").replace(
        "--project pgrepl", f"--project {project}"
    )
    *blocks, down = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    program = f"PGREPL_IMAGE={IMAGE or 'postgres:14'} {sys.executable} -P -m pgrepl_lib"
    down = down.replace("pgrepl down", f"{program} down", 1)

    def typed(script: str) -> subprocess.CompletedProcess[str]:
        file = (
            tmp_path / "typed.sh"
        )  # not standard input, from which `exec -T` would read the rest of the script
        file.write_text(script)
        return subprocess.run(
            ["sh", "-eu", str(file)],
            env={**OWN, "HOME": str(tmp_path)},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )

    try:
        done = typed("\n".join(blocks))
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
        assert "replica-1" in done.stdout and "streaming" in done.stdout
        assert re.search(r"100000 +\| +5000050000", done.stdout)
        assert done.stdout.count("(0 rows)") == 2, "every entry of both files is in effect"
        identifiers = re.findall(r"system_identifier *\n-+\n +(\d+)", done.stdout)
        assert len(identifiers) == 2 and len(set(identifiers)) == 1
    finally:
        removed = typed(down)
        subprocess.run(
            ["docker", "container", "rm", "-f", f"{project}_pg_temp", f"{project}_repl_temp"],
            capture_output=True,
        )
    assert removed.returncode == 0, removed.stderr
