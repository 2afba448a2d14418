"""A program at work: what it says, and when it has said nothing for too long."""

from __future__ import annotations

import codecs
import os
import subprocess
import time
from collections.abc import Callable
from threading import Event, Thread

from ..words.redact import redact

LOOK_SECONDS = 10.0  # between two looks at who a silent program reads from
HUNG_LOOKS = 6  # one after the other, before it is ended
OWN_END_SECONDS = 0.25  # for a program that got the terminal's Ctrl-C, too, and tidies up


def silently(line: str) -> None:
    """Progress that nobody looks at."""


def nothing() -> None:
    """What is left, or done, where there is nothing."""


class Waiting(Exception):
    """A program waits for somebody who hangs."""


class Heard:
    """A program, what it says, and when it last did: a large database is copied for hours."""

    def __init__(self, process: subprocess.Popen[bytes], tell: Callable[[str], None]) -> None:
        self.process, self.last = process, time.monotonic()
        self.out: list[str] = []
        self.err: list[str] = []
        streams = ((process.stdout, self.out, silently), (process.stderr, self.err, tell))
        self.readers = [Thread(target=self._read, args=each, daemon=True) for each in streams]
        # `Popen.wait` with a limit looks again and again, and so notices an end up to 50 ms late.
        self.ended = Event()
        for thread in (*self.readers, Thread(target=self._see_end, daemon=True)):
            thread.start()

    def wait(self, seconds: float, hung: Callable[[], str]) -> int:
        """Its exit code; raises `TimeoutExpired` once it was silent for so many seconds.

        Raises `Waiting` before, where somebody whom it needs hangs, in each of several looks.
        """
        looks = 0
        while not self._ends(min(self.last + seconds - time.monotonic(), LOOK_SECONDS)):
            silent = time.monotonic() - self.last
            if silent >= seconds:
                raise subprocess.TimeoutExpired(self.process.args, seconds)
            looks = looks + 1 if silent >= LOOK_SECONDS and (who := hung()) else 0
            if looks >= HUNG_LOOKS:
                raise Waiting(who)
        return self.process.returncode

    def end(self) -> int:
        """End it where it still runs; how it ended."""
        self.process.terminate()
        if not self._ends(5):
            self.process.kill()
            self.ended.wait()
        return self.process.returncode

    def _ends(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        try:
            return self.ended.wait(seconds)
        except KeyboardInterrupt:
            self.ended.wait(OWN_END_SECONDS)
            raise

    def _see_end(self) -> None:
        self.process.wait()
        self.ended.set()

    def _read(self, stream: object, into: list[str], tell: Callable[[str], None]) -> None:
        """Collect text; lines of progress end in a carriage return, which counts, too."""
        pending, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        while raw := os.read(stream.fileno(), 65536):  # type: ignore[attr-defined]
            self.last = time.monotonic()
            chunk = decoder.decode(raw)
            into.append(chunk)
            *lines, pending = (pending + chunk).replace("\r", "\n").split("\n")
            for line in filter(None, lines):
                tell(redact(line))
