"""The command line's verb for reading: lab opens the chapters in JupyterLab."""

from __future__ import annotations

import json
import os
import shlex
import sys
import sysconfig
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import click

from ...doors import files, terminal
from ...doors.resources import COPIES
from ...errors import EnvironmentLacking
from ...notebook.typed import exported
from ...params import Params
from ...words import language
from ...words.text import mark, t
from ..group import EPILOG, main
from ..options import Given, all_parameters, values, with_made
from . import copies

# What JupyterLab is told beside its user's own settings, which win: its language, no news, and
# kernels that are spoken to in cipher.
CONFIGURATION = Path(__file__).parent / "jupyter"
# Its kernels tell errors as chapters do from their first cell on (`notebook/telling.py`).
KERNEL = ".jupyter/kernels/python3/kernel.json"  # in the folder of the copies
EXTENSION = "--IPKernelApp.extra_extensions=['pgrepl_lib']"
FIRST = "00-preparacao.ipynb"
ACTIVITY = {"pgrepl_lib.classroom.activity": True}
ALONE = "--LanguageServerManager.autodetect=False"  # it would start npm for each of a class
OF_A_HUB = "JUPYTERHUB_SERVICE_URL"  # what the Hub says to a server that it starts
LACKING = mark("install it beside pgrepl: {command}")
PACKAGES = ("jupyterlab>=4.4", "jupyterlab-language-pack-pt-BR>=4.3.post1")
CHANGED = mark("{name} is another one now; yours, which you changed or executed, is {kept}")
MENUS = mark("JupyterLab's menus: what its language pack does not translate stays in English")


@main.command(epilog=EPILOG)
@all_parameters
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- JUPYTERLAB...]")
def lab(given: Given, options: tuple[str, ...]) -> None:
    """Open the chapters in JupyterLab: copies of your own without outputs, all with these
    parameters, as is `pgrepl` in its terminal. JupyterLab's own options follow `--`."""
    from ...doors.command import become

    _require_jupyterlab()
    asked = values(given)
    params = Params.parse(with_made(asked))
    folder = _own_folder(params)
    for name, kept in copies.renew(folder, _unusual(params)).items():
        terminal.tell(t(CHANGED, name=name, kept=kept))
    _write_kernel(folder / KERNEL)
    terminal.tell(t("your chapters: {folder}", folder=folder))
    terminal.tell(t(MENUS))
    become(_jupyterlab(params, options), _environment(params, asked))


def _require_jupyterlab() -> None:
    if not find_spec("jupyterlab"):
        command = shlex.join((sys.executable, "-m", "pip", "install", *PACKAGES))
        cause = t("JupyterLab is not installed where pgrepl is.")
        raise EnvironmentLacking(cause, remedy=t(LACKING, command=command))


def _own_folder(params: Params) -> Path:
    """The folder of the copies, in the cluster's, made where it is missing.

    Raises what opening the cluster would for a project that is another user's, or was made with
    other parameters.
    """
    from ...cluster import state
    from ...cluster.owner import require_owner

    require_owner(params, params.folder / state.FILE)
    state.guard(params, state.read(params.folder), hardens=True)  # chapter 00 does
    files.require_ours(params.folder)
    files.make_folder(params.folder)
    files.make_folder(params.folder / COPIES, 0o700)
    return params.folder / COPIES


def _write_kernel(path: Path) -> None:
    """As ipykernel itself describes it, with our extension."""
    from ipykernel.kernelspec import get_kernel_dict

    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(path, json.dumps(get_kernel_dict([EXTENSION]), indent=2) + "\n")


def _unusual(params: Params) -> dict[str, object]:
    """The parameters that have not their default, as plain values."""
    usual = Params.parse({"pg_version": params.pg_version}).plain()
    usual["pg_version"] = Params.model_fields["pg_version"].default
    return {name: value for name, value in params.plain().items() if value != usual[name]}


def _jupyterlab(params: Params, options: Iterable[str]) -> list[str]:
    """The program. It shows the cluster's folder, where the commands in chapters can be typed.

    A shell that it starts is no login shell: that would look for programs in the system's places.
    """
    shell = {"shell_command": [os.environ.get("SHELL") or "/bin/sh"]}
    as_root = ["--allow-root"] * (os.geteuid() == 0)
    return [
        *(sys.executable, "-P", "-m", *_program(), *as_root),
        f"--ServerApp.root_dir={params.folder}",
        f"--ServerApp.terminado_settings={shell}",
        f"--LabApp.default_url=/lab/tree/{COPIES}/{FIRST}",
        *options,
    ]


def _program() -> tuple[str, ...]:
    """JupyterLab; for a participant of a class the same, as its Hub starts it."""
    if OF_A_HUB in os.environ:
        return ("jupyterhub.singleuser", f"--ServerApp.jpserver_extensions={ACTIVITY}", ALONE)
    return ("jupyterlab",)


def _environment(params: Params, asked: Iterable[str]) -> dict[str, str]:
    """Its variables: `pgrepl` is found, means this project and speaks as the chapters do.

    asked: the parameters that were asked for. Kernels are those of our own environment, also where
    that is another user's.
    """
    before, plain = os.environ, params.plain()
    kernels = params.folder / COPIES / Path(KERNEL).parts[0]
    return {
        **before,
        **exported({name: plain[name] for name in asked}),
        "PGREPL_LANG": language.asked_for() or language.PORTUGUESE,
        "PATH": os.pathsep.join((sysconfig.get_path("scripts"), before.get("PATH", os.defpath))),
        "JUPYTER_CONFIG_PATH": _before(CONFIGURATION, "JUPYTER_CONFIG_PATH"),
        "JUPYTER_PATH": _before(kernels, "JUPYTER_PATH"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def _before(path: Path, variable: str) -> str:
    """It, and then what the variable has already."""
    return os.pathsep.join(filter(None, [str(path), os.environ.get(variable)]))
