"""A program on a real terminal: what it asks, and what is answered."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import termios
import time
from fcntl import ioctl

from pgrepl_lib.steps.ask import PROMPT
from pgrepl_lib.words.language import PORTUGUESE, speaking
from pgrepl_lib.words.text import t

with speaking(PORTUGUESE):  # as chapters do
    ASKED = t(PROMPT)

SECONDS = 120


class Terminal:
    """A process on a terminal of its own, whose questions are answered as they come."""

    def __init__(self, argv: list[str], prompt: str = ASKED) -> None:
        self.ours, theirs = pty.openpty()
        self.shown, self.prompt = "", prompt
        own_terminal = lambda: ioctl(0, termios.TIOCSCTTY, 0) and None  # noqa: E731 - so that Ctrl-C reaches the process
        self.process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=own_terminal,
        )
        os.close(theirs)

    def question(self) -> str:
        """All that is shown up to the next question, without the question; empty where the process has ended."""
        return self._until(self.prompt)

    def answer(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._until("no more questions are expected") == "", self.shown
        os.close(self.ours)
        return self.process.wait(SECONDS)

    def _until(self, wanted: str) -> str:
        deadline, seen = time.monotonic() + SECONDS, ""
        while not seen.endswith(wanted):
            assert time.monotonic() < deadline, f"not within {SECONDS} s: {self.shown[-2000:]}"
            if not select.select([self.ours], [], [], 1)[0]:
                continue
            part = b""
            with contextlib.suppress(OSError):  # a terminal that nobody has open any more
                part = os.read(self.ours, 65536)
            if not part:
                return ""
            text = part.decode(errors="replace").replace("\r\n", "\n")
            seen, self.shown = seen + text, self.shown + text
        return seen.removesuffix(wanted)
