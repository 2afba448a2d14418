"""PostgreSQL's programs as commands: what the local engine is made of."""

from __future__ import annotations

import pwd
import shutil
from collections.abc import Mapping
from functools import cached_property, partial

from ...doors import ahead, command
from ...doors.command import Command
from ...params import Params
from ...postgres import guards, tls
from .. import processes
from ..commands import Commands
from ..life import Life
from . import binaries, packages

HOST = "127.0.0.1"
# Not there: else libpq looks in a home folder that the server's user may not enter.
NO_CERTIFICATE = "secrets/none.crt"


class Programs(Commands):
    """The programs of one project, in its folder, as the server's user."""

    def __init__(self, params: Params, ports: Mapping[str, int]) -> None:
        super().__init__(params, ports)
        self.user = processes.server_user()

    def look_only(self) -> None:
        """Fetch nothing: programs that are not here are named as if they were."""
        if binaries.find(self.params.pg_version) is None:
            self.binaries = binaries.expected(self.params.pg_version)

    @cached_property
    def binaries(self) -> binaries.Binaries:
        """The programs; fetched when they are not here yet."""
        if found := binaries.find(self.params.pg_version):
            return found
        packages.fetch(self.params.pg_version)
        found = binaries.find(self.params.pg_version)
        assert found, "fetch either succeeds or raises"
        return found

    def client(self, name: str, *argv: str, terminal: bool = False) -> Command:
        where = (f"--host={HOST}", f"--port={self.ports[name]}", "--username=postgres")
        return self._tool(argv[0], *where, *argv[1:])

    def life(self, name: str) -> Life:
        return ahead.fact("life", name, partial(processes.life, self.folder / self._data(name)))

    def running(self, name: str) -> bool:
        return self.life(name) is Life.RUNNING

    def frozen(self, name: str) -> bool:
        return processes.frozen(self.folder / self._data(name))

    def log_tail(self, name: str) -> str:
        log = self.folder / "logs" / f"{name}.log"
        if not log.exists():
            return ""
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:])

    def activity(self, name: str) -> str:
        return processes.activity(self.folder / self._data(name))

    def _data(self, name: str) -> str:
        return f"data/{name}"

    def _tool(self, program: str, *arguments: str) -> Command:
        folders = self.binaries.server, self.binaries.client, binaries.wheel_folder()
        places = (str(f / program) for f in folders if (f / program).exists())
        argv = (next(places, None) or shutil.which(program) or program, *arguments)
        env = {"PGPASSFILE": str(self.folder / "secrets/pgpass")}
        if self.params.tls != tls.OFF:
            env["PGSSLCERT"] = str(self.folder / NO_CERTIFICATE)
        return Command(argv, self.user, env, shown=command.shell_text((program, *arguments)))

    def _initdb(self, target: str) -> Command:
        where = (f"--pgdata={target}", "--username=postgres", "--pwfile=secrets/superuser")
        how = ("--encoding=UTF8", "--locale=C", "--auth=scram-sha-256")
        return self._tool("initdb", *where, *how, *guards.initdb_options(self.params))

    def _owner(self) -> tuple[int, int] | None:
        if not self.user:
            return None
        entry = pwd.getpwnam(self.user)
        return entry.pw_uid, entry.pw_gid
