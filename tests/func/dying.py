"""Work that is killed after an effect: a file that was replaced, a program that was run, a change by SQL.

It is done in a fork of a process that has imported everything, and ends there as by `kill -9`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import psycopg

from pgrepl_lib import Cluster
from pgrepl_lib.doors import db
from pgrepl_lib.engine.secret import look
from pgrepl_lib.steps.instance import Instance

from .operated import wait_caught_up
from .running import CHECKOUT

LOOKS = re.compile(r"\s*(select|show|set)\b(?!.*\bpg_(reload_conf|terminate_backend)\b)", re.S)
ENDS = "select pg_terminate_backend(pid, 5000) from pg_stat_replication where application_name = %s"


class Mortal:
    """Work, one after the other, each with the number of effects that it lives to see."""

    def __enter__(self) -> Mortal:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, "-m", __name__]
        self.process = subprocess.Popen(command, cwd=CHECKOUT, text=True, **pipes)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.__exit__(None, None, None)

    def dies(self, effects: int, source: str) -> bool:
        """Whether it was killed after so many; False where it came to its end before. source: Python."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([effects, source]) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        assert code in (0, -signal.SIGKILL), (source, effects, code)
        return code != 0

    def finishes(self, source: str) -> None:
        """It is done to its end."""
        assert not self.dies(0, source)


def main() -> None:
    """Each line: after how many effects it is killed (0: never), and what is done."""
    import pgrepl_lib.operations.security.rotating
    import pgrepl_lib.operations.security.securing
    import pgrepl_lib.steps.cluster  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        effects, source = json.loads(line)
        if not (child := os.fork()):
            die_after(effects)
            exec(source, {})
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def die_after(effects: int) -> None:
    """This process, after so many."""
    from pgrepl_lib.doors import command

    left = [effects]

    def counted(does: Callable[..., Any], changes: Callable[..., object]) -> Callable[..., Any]:
        def done(*given: Any, **more: Any) -> Any:
            answer = does(*given, **more)
            if changes(*given):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return done

    execute = db.BoundedConnection.execute
    os.replace = counted(os.replace, always)
    os.unlink = counted(os.unlink, always)
    db.BoundedConnection.execute = counted(execute, writes)  # type: ignore[method-assign]
    command._recorded = counted(command._recorded, always)


def always(*given: Any) -> bool:
    return True


def writes(connection: db.BoundedConnection, query: Any, *more: Any) -> bool:
    return not LOOKS.match(query if isinstance(query, str) else query.as_string())


# --- what must be so all the time ----------------------------------------------------------------------------------


@contextlib.contextmanager
def watched(probes: dict[str, Callable[[], object]]) -> Iterator[dict[str, list[object]]]:
    """What each probe says in the block, again and again: every answer that differs from the one before."""
    seen: dict[str, list[object]] = {name: [probe()] for name, probe in probes.items()}
    ends = Event()

    def look() -> None:
        while not ends.wait(0.05):
            for name, probe in probes.items():
                if (now := told(probe)) != seen[name][-1]:
                    seen[name].append(now)

    thread = Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ends.set()
        thread.join()


def told(probe: Callable[[], object]) -> object:
    try:
        return probe()
    except Exception as error:
        return error


def gets_in(instance: Instance, **words: Any) -> bool:
    """Whether the server lets somebody in; he comes as superuser unless told."""
    at = {**vars(instance.address), "dbname": "postgres", **words}
    try:
        psycopg.connect(**at).close()
    except psycopg.OperationalError as error:
        assert "FATAL" in str(error) or "no password" in str(error), error
        return False
    return True


def replicates(instance: Instance, **words: Any) -> bool:
    """The same of somebody who comes to replicate."""
    user = instance.cluster.params.replication_user
    return gets_in(instance, user=user, replication="true", **{"password": None, **words})


def with_its_password(instance: Instance) -> bool:
    password = look(instance.cluster.folder / "secrets/replication").text.strip()
    return replicates(instance, password=password or None)


def is_out(stranger: psycopg.Connection[Any]) -> bool:
    """Whether somebody's replication connection was ended."""
    return bool(stranger.pgconn.exec_(b"IDENTIFY_SYSTEM").error_message)


def connect_anew(cluster: Cluster) -> None:
    """Each replica loses its connection, and comes back."""
    for replica in cluster.replicas:
        db.rows(replica.upstream.address, ENDS, [replica.application_name])
    wait_caught_up(cluster)


if __name__ == "__main__":
    main()
