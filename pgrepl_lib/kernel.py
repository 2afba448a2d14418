"""One kernel for all chapters of a run, started before anything else: it needs longest to be ready."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from .audit import RUN_FOLDER
from .params import Params
from .runs import RUNS

# What the chapters need, ready when the first cell asks for it; in the background what only a later one asks for.
WARM_UP = """
from threading import Thread
from pgrepl_lib.engine import docker, docker_host, local
if {docker}: Thread(target=docker_host.compose_version).start()
Thread(target=__import__, args=("pandas",)).start()"""


@contextmanager
def signals_held() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of heeding them: ZeroMQ waits for ever for a socket interrupted in the making."""
    came: list[int] = []
    held = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in held}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class SharedKernel:
    """One kernel for all chapters of a run; its namespace is emptied between them."""

    manager: Any = None
    connection: Any = None
    interrupted = False
    client: Any = None

    @classmethod
    def begin(cls, params: Params) -> None:
        """Start the kernel and its longest imports; they go on while this process does other things."""
        cls.interrupted = False
        with signals_held() as came:
            cls.manager = AsyncKernelManager(kernel_name="python3")
            run_sync(cls.manager.start_kernel)(extra_arguments=["--log-level=ERROR"])
            cls.connection = cls.manager.client()
            cls.connection.start_channels(hb=False)  # nbclient watches the process itself
            warm_up = WARM_UP.format(docker=params.engine == "docker")
            cls.connection.execute(warm_up, silent=True, store_history=False)
        if came:
            raise KeyboardInterrupt

    @classmethod
    def lend(cls, client: Any) -> None:
        """Give the client the kernel, its namespace emptied. Raises `RuntimeError` if it does not come up within 60 s."""
        if cls.client is None:
            run_sync(cls.connection.wait_for_ready)(timeout=60)
        else:
            run_sync(cls.connection.execute_interactive)("get_ipython().reset()", store_history=False, timeout=30)
        cls.client, client.km, client.kc = client, cls.manager, cls.connection

    @classmethod
    def end(cls) -> None:
        """End the kernel at once: what it did is done and recorded.

        Killed first: shutting down interrupts, and a kernel that is still importing would answer with a traceback.
        """
        with signals_held():
            if cls.connection is not None:
                cls.connection.stop_channels()
            if cls.manager is not None and cls.manager.has_kernel:
                run_sync(cls.manager.signal_kernel)(signal.SIGKILL)
                run_sync(cls.manager.shutdown_kernel)(now=True)
        cls.manager = cls.connection = cls.client = None


@contextmanager
def begun(params: Params) -> Iterator[Path]:
    """A kernel for a run, told the folder of the run's evidence, which is given and not made yet."""
    folder = params.folder / RUNS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    os.environ[RUN_FOLDER] = str(folder)
    try:
        SharedKernel.begin(params)
        yield folder
    finally:
        SharedKernel.end()
        del os.environ[RUN_FOLDER]
