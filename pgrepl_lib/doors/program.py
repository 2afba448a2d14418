"""A program at work: what it says, and when it has said nothing for too long."""

from __future__ import annotations

import codecs
import os
import subprocess
import time
from collections.abc import Callable
from threading import Thread

from ..words.redact import redact

LOOK_SECONDS = 10.0  # between two looks at who a silent program reads from
HUNG_LOOKS = 6  # one after the other, before it is ended


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
        for reader in self.readers:
            reader.start()

    def wait(self, seconds: float, hung: Callable[[], str]) -> int:
        """Its exit code; raises `TimeoutExpired` once it was silent for so many seconds.

        Raises `Waiting` before, where somebody whom it needs hangs, in each of several looks.
        """
        looks = 0
        while True:
            left = self.last + seconds - time.monotonic()
            try:
                return self.process.wait(min(left, LOOK_SECONDS))
            except subprocess.TimeoutExpired:
                silent = time.monotonic() - self.last
                if silent >= seconds:
                    raise
                looks = looks + 1 if silent >= LOOK_SECONDS and (who := hung()) else 0
                if looks >= HUNG_LOOKS:
                    raise Waiting(who) from None

    def end(self) -> int:
        """End it where it still runs; how it ended."""
        self.process.terminate()
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

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
