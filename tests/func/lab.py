"""`pgrepl lab` as a participant has it: started, asked, and ended."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tornado.websocket import websocket_connect

from pgrepl_lib.doors.wait import wait_until
from tests.conftest import PATIENCE

from .participant import heard_until
from .running import words

PROJECT = "aluna-1"
SECONDS = 120 * PATIENCE
TOKEN = "of-this-test"


class Lab:
    """A JupyterLab that has been started, and what its user does there."""

    def __init__(self, workdir: Path, log: Path) -> None:
        self.folder, self.log = workdir / PROJECT, log

    @property
    def url(self) -> str:
        """Where it says that it is; empty before it does."""
        lines = self.log.read_text("utf-8").splitlines()
        found = [line.split()[-1] for line in lines if " http://127.0.0.1:" in line]
        return found[0].partition("/lab")[0] if found else ""

    def answers(self) -> bool:
        """It says where it is a moment before it listens there."""
        try:
            return bool(self.url and self.ask("api/status"))
        except urllib.error.URLError:
            return False

    def ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", method=method)
        request.add_header("Authorization", f"token {TOKEN}")
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)

    def typed(self, command: str) -> str:
        """What the terminal shows after a command."""
        name = self.ask("api/terminals", "POST")["name"]
        end = f"end-{uuid4().hex}"
        line = f"{command}; echo {end[:4]}''{end[4:]}\r"  # the echo of what is typed is no end
        return asyncio.run(self._talk(f"terminals/websocket/{name}", ["stdin", line], end))

    def executed(self, code: str, end: str) -> str:
        """What a new kernel says to a cell, until it has said how that ends."""
        kernel = self.ask("api/kernels", "POST")["id"]
        header = {"msg_id": uuid4().hex, "msg_type": "execute_request", "username": ""}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        message = {
            "header": {**header, "session": uuid4().hex, "version": "5.3"},
            "parent_header": {},
            "metadata": {},
            "channel": "shell",
            "content": content,
        }
        return asyncio.run(self._talk(f"api/kernels/{kernel}/channels", message, end))

    async def _talk(self, path: str, message: object, end: str) -> str:
        address = f"{self.url}/{path}?token={TOKEN}".replace("http", "ws", 1)
        return await heard_until(end, await websocket_connect(address), message)


@contextmanager
def begun(base: Path) -> Iterator[Lab]:
    """JupyterLab with the chapters of a project in this folder."""
    values = {"project": PROJECT, "engine": "local", "workdir": str(base)}
    own = ("--", "--no-browser", "--port=0", f"--IdentityProvider.token={TOKEN}")
    home = {"HOME": str(base / "home"), "SHELL": shutil.which("bash") or "/bin/sh"}
    others = {
        n: v for n, v in os.environ.items() if not n.startswith(("PGREPL_", "JUPYTER", "XDG"))
    }
    (base / "home").mkdir()
    found = Lab(base, base / "log")
    with found.log.open("w") as log:
        process = subprocess.Popen(
            [*words("lab", values), *own],
            env={**others, **home},
            cwd=base,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until("JupyterLab", lambda: (found.answers(), "it starts"), seconds=SECONDS)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
