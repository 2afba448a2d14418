"""A class whose participants all begin at once: seconds from nothing to a verified replica, and memory for each.

`python -m benchmarks.classroom --participants 2`, as root. Each signs in by the Hub's form, gets a notebook server, and
executes chapters 00 to 03 in its terminal.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import click
import psutil

from tests.everyone import python_for_all
from tests.func.participant import Participant

MEGABYTE = 1024**2


def leader(program: tuple[str, dict[str, str]], verb: str, name: str, *more: str) -> Any:
    """What one of the leader's commands answers."""
    python, variables = program
    words = [python, "-P", "-m", "pgrepl_lib", "class", verb, name, *more, "--json"]
    env = {**os.environ, **variables}
    return json.loads(subprocess.run(words, env=env, cwd="/", check=True, stdout=-1).stdout)


@contextmanager
def class_of(
    name: str, participants: int, port: int
) -> Iterator[tuple[tuple[str, dict[str, str]], float]]:
    """A class that is gone afterwards, and the seconds that it took to make it."""
    with python_for_all() as program:
        begun = time.monotonic()
        try:
            leader(
                program, "create", name, "--participants", str(participants), "--port", str(port)
            )
            yield program, time.monotonic() - begun
        finally:
            leader(program, "destroy", name, "--yes")


def takes_part(port: int, login: str, password: str) -> tuple[float, float]:
    """Seconds until JupyterLab is there, and until the replica is verified."""
    begun, who = time.monotonic(), Participant(port, login)
    assert who.sign_in(password) == 200, login
    who.wait_for_server()
    opened = time.monotonic() - begun
    told = who.typed("pgrepl run --json > done.json && echo veri''fied")
    assert "verified" in told, told
    return opened, time.monotonic() - begun


def used() -> int:
    """Bytes of memory that the machine has in use."""
    seen = psutil.virtual_memory()
    return int(seen.total - seen.available)


@contextmanager
def watched() -> Iterator[list[int]]:
    """What the machine has in use, again and again, from before the block to its end."""
    seen, over = [used()], Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append(used())

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def told(what: str, values: Sequence[float], unit: str) -> None:
    middle, most = statistics.median(values), max(values)
    print(f"{what:<44} median {middle:7.1f} {unit}   most {most:7.1f} {unit}")


@click.command()
@click.option("--participants", default=2, show_default=True)
@click.option("--port", default=18400, show_default=True)
@click.option("--name", default="bench", show_default=True)
def main(participants: int, port: int, name: str) -> None:
    """Measure a class of so many who all begin at once."""
    if os.geteuid() != 0:
        sys.exit("as root: a class has system users")
    with class_of(name, participants, port) as (program, made):
        people = leader(program, "list", name)["people"]
        with watched() as memory, ThreadPoolExecutor(participants) as pool:
            each = [pool.submit(takes_part, port, p["login"], p["password"]) for p in people]
            seconds = [one.result() for one in each]
        seen, grown = leader(program, "list", name)["people"], used() - memory[0]
    allowed = 60 * participants / (os.cpu_count() or 1) / 4
    print(f"{participants} participants on {os.cpu_count()} cores")
    print(f"the class is made in                         {made:14.1f} s")
    told("JupyterLab is open after", [opened for opened, _ in seconds], "s")
    told("a verified replica after", [verified for _, verified in seconds], "s")
    print(f"aimed at, for the last one                   {allowed:14.1f} s")
    told("memory of a participant (PSS)", [p["memory (MB)"] for p in seen], "MB")
    for what, grows in (("afterwards", grown), ("at most", max(memory) - memory[0])):
        each_one = grows / MEGABYTE / participants
        print(f"the machine uses more, for each: {what:<12} {each_one:13.1f} MB")


if __name__ == "__main__":
    main()
