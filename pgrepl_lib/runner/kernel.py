"""One kernel for all chapters of a run, started before anything else: it needs longest to be ready.

It loads nothing from the folder that the user stands in, nor from the user's IPython profile: it
works in a folder of its own. It is this very interpreter, whatever JUPYTER_PATH calls `python3`.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from ..doors.wait import wait_until
from ..errors import WaitTimeout
from ..journal.audit import RUN_FOLDER, RUNS
from ..params import Params
from .scratch import own_folder

WARMING = "from pgrepl_lib.runner import warming; warming."
READY_SECONDS = 60  # for the kernel to answer
END_SECONDS = 10  # for the system to end what it was told to kill


@contextmanager
def signals_held() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of heeding them.

    ZeroMQ waits for ever for a socket interrupted in the making.
    """
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        came.append(number)

    held = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in held}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class OwnInterpreter(KernelSpecManager):
    """Knows one kernel, this interpreter; -P: no modules of the current folder."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[
                sys.executable,
                "-P",
                "-m",
                "ipykernel_launcher",
                "-f",
                "{connection_file}",
                "--HistoryManager.enabled=False",
            ],
            display_name="Python 3",
            language="python",
            metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
        )


def kernel_environment(folder: Path) -> dict[str, str]:
    """This process's variables for a kernel that works in another folder.

    An empty entry of PYTHONPATH would be that folder, a relative one a folder in it.
    """
    entries = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    found = os.pathsep.join(map(os.path.abspath, entries))
    return {**os.environ, "PYTHONPATH": found, "IPYTHONDIR": str(folder / "ipython")}


class SharedKernel:
    """One kernel for all chapters of a run; its namespace is emptied between them."""

    manager: Any = None
    connection: Any = None
    interrupted = False
    client: Any = None
    error: object = None  # what the last error was made of (`last_error`)

    @classmethod
    def begin(cls, params: Params, folder: Path) -> None:
        """Start the kernel in this folder, and its longest imports, which go on meanwhile."""
        cls.interrupted, cls.error = False, None
        with signals_held() as came:
            cls.manager = AsyncKernelManager(
                kernel_name="python3",
                kernel_spec_manager=OwnInterpreter(),
                connection_file=str(folder / "connection.json"),
            )
            started = {"cwd": str(folder), "env": kernel_environment(folder)}
            run_sync(cls.manager.start_kernel)(extra_arguments=["--log-level=ERROR"], **started)
            cls.connection = cls.manager.client()
            cls.connection.start_channels(hb=False)  # nbclient watches the process itself
            docker = params.engine == "docker"
            warm_up = f"{WARMING}before_the_first_chapter({docker=})"
            cls.connection.execute(warm_up, silent=True, store_history=False)
        if came:
            raise KeyboardInterrupt

    @classmethod
    def lend(cls, client: Any) -> None:
        """Give the client the kernel, its namespace emptied.

        Raises `RuntimeError` if it does not answer in time.
        """
        if cls.client is None:
            run_sync(cls._come_up)()
        else:
            run_sync(cls.connection.execute_interactive)(
                f"{WARMING}before_another_chapter()", store_history=False, timeout=30
            )
        cls.client, client.km, client.kc = client, cls.manager, cls.connection

    @classmethod
    async def _come_up(cls) -> None:
        """Wait until the kernel has loaded what chapters need, and what it shows is heard.

        As `wait_for_ready`, without the 0.2 s of silence that this waits for at its end: whoever
        reads passes over what was not shown to him.
        """
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                answer = await cls.connection.shell_channel.get_msg(timeout=1)
                if answer["content"]["status"] == "error":
                    raise RuntimeError(answer["content"]["evalue"])
                await cls.connection.iopub_channel.get_msg(timeout=0.2)
                return
            except Empty:
                if time.monotonic() > deadline or not await cls.connection.is_alive():
                    raise RuntimeError("The kernel does not answer.") from None
                cls.connection.kernel_info()

    @classmethod
    def last_error(cls) -> object:
        """What the error that has ended a cell is made of, in any language.

        None for no text of ours, and where the kernel does not say it.
        """
        if not run_sync(cls.manager.is_alive)():
            return None
        try:
            asked = run_sync(cls.connection.execute_interactive)(
                WARMING.rpartition(";")[0],
                silent=True,
                store_history=False,
                user_expressions={"error": "warming.last_error()"},
                timeout=10,
            )
        except (TimeoutError, RuntimeError):
            return None
        told = asked["content"]["user_expressions"]["error"].get("data", {}).get("text/plain")
        return json.loads(ast.literal_eval(told)) if told else None

    @classmethod
    def end(cls) -> None:
        """End the kernel at once: what it did is done and recorded.

        Killed first: shutting down interrupts, and a kernel that is still importing would answer
        with a traceback.
        """
        with signals_held():
            if cls.connection is not None:
                cls.connection.stop_channels()
            if cls.manager is not None and cls.manager.has_kernel:
                run_sync(cls.manager.signal_kernel)(signal.SIGKILL)
                with suppress(WaitTimeout):  # jupyter_client would look each 0.1 s
                    wait_until("the kernel's end", cls._ended, seconds=END_SECONDS)
                run_sync(cls.manager.shutdown_kernel)(now=True)
        cls.manager = cls.connection = cls.client = None

    @classmethod
    def _ended(cls) -> tuple[bool, str]:
        return not run_sync(cls.manager.is_alive)(), "it was killed"


@contextmanager
def begun(params: Params) -> Iterator[Path]:
    """A kernel for a run, told the folder of the run's evidence.

    That folder is given, and not made yet.
    """
    folder = params.folder / RUNS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    os.environ[RUN_FOLDER] = str(folder)
    try:
        with own_folder() as place:
            try:
                SharedKernel.begin(params, place)
                yield folder
            finally:
                SharedKernel.end()
    finally:
        del os.environ[RUN_FOLDER]
