"""nbval over all chapters, on a new cluster of either engine, against the same stored outputs."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pgrepl_lib import open_cluster

from ..conftest import IMAGE
from .chapters import CHAPTERS, prepared

SANITIZE = Path(__file__).with_name("sanitize.cfg")


@pytest.fixture
def parameters(engine_name: str, workdir: Path, free_network: Any, free_port: Any) -> Any:
    image = {"image": IMAGE} if engine_name == "docker" else {}
    values = {"project": f"nb{secrets.token_hex(3)}", "engine": engine_name, "workdir": str(workdir),
              "network": free_network(), "port": free_port(), **image}  # fmt: skip
    yield values
    open_cluster("", **values).remove(confirm=True)


@pytest.mark.timeout(600)
def test_stored_outputs_are_what_happens(parameters: dict[str, Any], tmp_path: Path) -> None:
    copies = [prepared(chapter, tmp_path, parameters) for chapter in CHAPTERS]
    order = ["00", "01", "02", "03", "04", "05", "06", "07", "08", "99"]
    assert [p.stem[:2] for p in copies] == order, "a chapter needs the ones before it"
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-sanitize-with", str(SANITIZE), "-q", "-x", *map(str, copies)],
        cwd=tmp_path, capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    cells = sum(c.cell_type == "code" for p in copies for c in nbformat.read(p, 4).cells)
    assert re.search(rf"\b{cells} passed", done.stdout), done.stdout[-500:]
