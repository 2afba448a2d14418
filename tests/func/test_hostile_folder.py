"""Nothing is ever executed of the folder that the user stands in, nor of what JUPYTER_PATH and IPYTHONDIR name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from ..conftest import NewProject
from .running import Values, do, words

BIN = Path(sys.executable).parent
OURS = {
    "pgrepl_lib",
    "ipykernel_launcher",
    "sitecustomize",
    "usercustomize",
    "ipython_config",
    "ipython_kernel_config",
    "jupyter_config",
    "jupyter_nbconvert_config",
}
WAYS = {
    "pgrepl": (str(BIN / "pgrepl"),),
    "python -P -m": (sys.executable, "-P", "-m", "pgrepl_lib"),
    "python -m": (sys.executable, "-m", "pgrepl_lib"),
}


@pytest.fixture(scope="module")
def values(new_project: NewProject) -> Iterator[Values]:
    with new_project() as made:
        yield made


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder in which everything that somebody might load leaves a mark when it is."""
    folder, mark = tmp_path / "hostile", tmp_path / "marks"
    startup, kernel = folder / "profile_default/startup", folder / "kernels/python3"
    for path in (startup, kernel, folder / "evil-1.0.dist-info", tmp_path / "temporary"):
        path.mkdir(parents=True)
    for name in {*sys.stdlib_module_names, *packages_distributions(), *OURS}:
        (folder / f"{Path(name).name}.py").write_text(
            f"open({str(mark)!r}, 'a').write({name!r} + ' ')\n"
        )
    (startup / "00.py").write_text(f"open({str(mark)!r}, 'a').write('startup ')\n")
    (kernel / "kernel.json").write_text(
        json.dumps(
            {
                "argv": ["sh", "-c", f"echo kernel >> '{mark}'"],
                "display_name": "x",
                "language": "python",
            }
        )
    )
    entry_points = "[papermill.engine]\nevil = evil_engine\n[jupyter_client.kernel_provisioners]\nevil = evil_engine:X\n"
    (folder / "evil-1.0.dist-info/entry_points.txt").write_text(entry_points)
    (folder / "evil-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"
    )
    (folder / "evil_engine.py").write_text(f"open({str(mark)!r}, 'a').write('engine ')\n")
    opener = "cycler.__init__.__globals__.__builtins__.open"
    for place in (folder / "lab", folder / "nbconvert/templates/lab"):
        place.mkdir(parents=True)
        (place / "conf.json").write_text(
            '{"base_template": "base", "mimetypes": {"text/html": true}}'
        )
        (place / "index.html.j2").write_text(
            f"{{% set x = {opener}({str(mark)!r}, 'a').write('template ') %}}"
        )
    return folder


def in_folder(folder: Path, way: str, command: str, values: Values) -> str:
    """A command's output, called in the folder; nothing has left a mark, and no temporary file is left."""
    variables = {
        "JUPYTER_PATH": str(folder),
        "IPYTHONDIR": str(folder),
        "TMPDIR": str(folder.parent / "temporary"),
    }
    told = do(*WAYS[way], *words(command, values)[3:], cwd=folder, env={**os.environ, **variables})
    marks = folder.parent / "marks"
    assert not marks.exists(), marks.read_text()
    assert not list((folder.parent / "temporary").iterdir())
    return told


def loaded_by_python_itself() -> set[str]:
    """What `python -m pgrepl_lib` takes from the current folder before anything of ours begins: only `-P` prevents that."""
    told = do(sys.executable, "-I", "-c", "import pkgutil, runpy, sys; print(*sys.modules)")
    return {"pgrepl_lib", *(name.partition(".")[0] for name in told.split())}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_loads_nothing_from_there(way: str, hostile: Path, values: Values) -> None:
    if way == "python -m":
        for name in loaded_by_python_itself():
            (hostile / f"{name}.py").unlink(missing_ok=True)
    assert "completed: " in in_folder(hostile, way, "run", values)
    (run,) = sorted((Path(values["workdir"]) / values["project"] / "runs").iterdir())[-1:]
    assert '<html lang="pt"' in (run / "03-verificacao.html").read_text("utf-8")


@pytest.mark.parametrize(
    "command", ["plan", "status", "check", "lag", "runs", "report", "verify", "psql primary"]
)
def test_a_command_loads_nothing_from_there(command: str, hostile: Path, values: Values) -> None:
    in_folder(hostile, "pgrepl", command, values)
