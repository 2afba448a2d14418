"""Ports and networks of this machine: which are free, and who holds those that are not."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from ipaddress import IPv4Network

import psutil

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

    An abstract socket's name is one for the whole machine and needs no file (unix(7)). Only Linux has
    them: elsewhere others see the port once a server listens there.
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
    """`count` ports in a row: from `wanted`, else the first free ones from `first` on that no other project has."""
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
        for c in psutil.net_connections("tcp"):
            if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid:  # type: ignore[union-attr]
                process = psutil.Process(c.pid)
                return f"process {c.pid} ({' '.join(process.cmdline())[:80] or process.name()})"
    return "a process that this user may not see"


def overlapping_interface(network: IPv4Network) -> str:
    """The interface of this machine that has an address in the network; empty where there is none."""
    import ipaddress

    for name, addresses in psutil.net_if_addrs().items():
        for a in addresses:
            if a.family == socket.AF_INET and ipaddress.IPv4Address(a.address) in network:
                return f"{name} ({a.address})"
    return ""
