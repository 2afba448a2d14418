"""Ports and networks of this machine: which are free, and who holds those that are not."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import psutil

from ..words.text import t

FIRST = 15432  # below the range that systems use for outgoing connections
CLAIMED: dict[int, socket.socket] = {}


def free(port: int) -> bool:
    """Whether a server could listen there now: neither loopback nor any address is taken."""
    for host in ("127.0.0.1", ""):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def claim(port: int) -> bool:
    """Keep a port from being chosen by others, of whatever user, until this process ends.

    An abstract socket's name is one for the whole machine and needs no file (unix(7)). Only Linux
    has them: elsewhere others see the port once a server listens there.
    """
    if port in CLAIMED or sys.platform != "linux":
        return True
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind(f"\0pgrepl, port {port}")
    except OSError:
        mark.close()
        return False
    CLAIMED[port] = mark
    return True


def pick(count: int, wanted: int, avoid: set[int], first: int = FIRST) -> list[int]:
    """`count` ports in a row: from `wanted`, else the first free ones from `first` on.

    avoid: those of other projects.
    """
    if wanted:
        return list(range(wanted, wanted + count))
    start = first
    while count and not all(free(p) and p not in avoid for p in range(start, start + count)):
        start += 1
    return list(range(start, start + count))


def holder(port: int) -> str:
    """Who listens on a port, as far as we may see; empty where nobody does."""
    if free(port):
        return ""
    with suppress(psutil.Error):
        for seen in psutil.net_connections("tcp"):
            its: Any = seen.laddr
            if seen.status == psutil.CONN_LISTEN and its.port == port and seen.pid:
                process = psutil.Process(seen.pid)
                program = " ".join(process.cmdline())[:80] or process.name()
                return t("process {pid} ({program})", pid=seen.pid, program=program)
    return t("a process that this user may not see")


def held(port: int) -> str:
    """What to do about a port that somebody holds; empty where nobody does."""
    if not (who := holder(port)):
        return ""
    return t(
        "port {port} is held by {who}: stop it, or choose another with the parameter port",
        port=port,
        who=who,
    )


def overlapping_interface(network: IPv4Network) -> str:
    """This machine's interface with an address in the network; empty where there is none."""
    for name, addresses in psutil.net_if_addrs().items():
        for a in addresses:
            if a.family == socket.AF_INET and IPv4Address(a.address) in network:
                return f"{name} ({a.address})"
    return ""
