"""Cells in a kernel of a test's own, and what their reader sees of them."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from jupyter_core.utils import run_sync

from pgrepl_lib.drills.workload import Writer
from pgrepl_lib.errors import CheckFailed, PgreplError
from pgrepl_lib.notebook import telling
from pgrepl_lib.params import Params
from pgrepl_lib.runner.kernel import SharedKernel
from pgrepl_lib.words import language
from pgrepl_lib.words.language import PORTUGUESE

from ..portuguese import english_in

# As the kernels of `pgrepl lab` are started (`cli/lab/opening.py`).
CONFIGURATION = {"InteractiveShellApp": {"extensions": ["pgrepl_lib"]}}
CHECKOUT = Path(__file__).parents[2]
FRAME = re.compile(r"Traceback|^-{20,}|Cell In\[|^File ", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Shown:
    """What a cell leaves on the page, and the class of the error that it ends in."""

    texts: list[str] = field(default_factory=list)
    error: str = ""
    trace: str = ""

    def hear(self, message: dict[str, Any]) -> None:
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                self.texts.append(content["text"])
            case "display_data" | "execute_result" | "update_display_data":
                self.texts += [v for k, v in content["data"].items() if k.startswith("text/")]
            case "error":
                self.error = content["ename"]
                self.texts += content["traceback"]
                self.trace = COLOUR.sub("", "\n".join(content["traceback"]))

    def english(self) -> dict[str, list[str]]:
        """The texts that hold English, and what of it."""
        return {text: found for text in self.texts if (found := english_in(text))}

    def framed(self) -> bool:
        """Whether its error is shown as a traceback is."""
        return bool(FRAME.search(self.trace))


class Notebook:
    """Cells for a kernel of ours."""

    def run(self, source: str, seconds: float = 120) -> Shown:
        shown = Shown()
        execute = SharedKernel.connection.execute_interactive
        run_sync(execute)(source, output_hook=shown.hear, allow_stdin=False, timeout=seconds)
        return shown

    def must(self, source: str) -> None:
        shown = self.run(source)
        assert not shown.error, "\n".join(shown.texts)


class Cells(Protocol):
    """Where cells are executed."""

    def run(self, source: str, seconds: float = 0) -> Shown:
        """Execute a cell, for so long at most."""


@contextmanager
def opened(params: Params, folder: Path, notebook: str = "") -> Iterator[Notebook]:
    """A kernel on a machine that speaks English. folder: an empty one, which it works in.

    notebook: its name, where JupyterLab's server starts it, as `pgrepl lab` lets it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JPY_SESSION_NAME", raising=False)
        if notebook:
            profile = folder / "ipython/profile_default"
            profile.mkdir(parents=True)
            (profile / "ipython_kernel_config.json").write_text(json.dumps(CONFIGURATION))
            patch.setenv("JPY_SESSION_NAME", f"pasta/{notebook}.ipynb")
        patch.setenv("PYTHONPATH", str(CHECKOUT))
        patch.setenv("PGREPL_LANG", "en")
        patch.setenv("LC_ALL", "C.UTF-8")
        SharedKernel.begin(params, folder)
        try:
            SharedKernel.lend(SimpleNamespace())
            yield Notebook()
        finally:
            SharedKernel.end()


class Namespace:
    """Cells in this process, which are told as in a kernel: for those that are many, and need none."""

    def __init__(self, chapter: str) -> None:
        self.chapter, self.names = chapter, {"__name__": telling.CELL}

    def run(self, source: str, seconds: float = 0) -> Shown:
        user_ns = {**self.names, "In": [source], "__vsc_ipynb_file__": f"{self.chapter}.ipynb"}
        with (
            language.speaking(PORTUGUESE),
            redirect_stdout(StringIO()) as out,
            redirect_stderr(out),
        ):
            try:
                exec(compile(source, "cell", "exec"), self.names)
            except Exception as error:
                found = telling.told(SimpleNamespace(user_ns=user_ns), error, error.__traceback__)
                trace = str(found)
                if not isinstance(found, PgreplError):
                    trace = "".join(traceback.format_exception(found))
                elif isinstance(found, CheckFailed):
                    trace = found.cause
                return Shown([out.getvalue(), trace], type(found).__name__, trace)
        return Shown([out.getvalue()])


@contextmanager
def in_this_process(chapter: str) -> Iterator[Namespace]:
    """An empty namespace; as with a kernel, the threads of its cells end with it."""
    made = Namespace(chapter)
    try:
        yield made
    finally:
        for each in made.names.values():
            if isinstance(each, Writer):
                each.stop()
