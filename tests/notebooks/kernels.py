"""Cells in a kernel of a test's own, and what their reader sees of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_core.utils import run_sync

from pgrepl_lib.params import Params
from pgrepl_lib.runner.kernel import SharedKernel

from ..portuguese import english_in

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


@contextmanager
def opened(params: Params, folder: Path) -> Iterator[Notebook]:
    """A kernel on a machine that speaks English. folder: an empty one, which it works in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(CHECKOUT))
        patch.setenv("PGREPL_LANG", "en")
        patch.setenv("LC_ALL", "C.UTF-8")
        SharedKernel.begin(params, folder)
        try:
            SharedKernel.lend(SimpleNamespace())
            yield Notebook()
        finally:
            SharedKernel.end()
