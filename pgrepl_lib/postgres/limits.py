"""Settings that replication needs, and those that it, or this project, cannot work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..words.text import Text, joined, mark, t

PARALLEL = 4  # base backups at once; each takes two of the primary's WAL senders
DEFAULT = 10  # of both settings, in the server and in the document
Judge = Callable[[str], bool]


def off(value: str) -> bool:
    """Off in any of the spellings that the server takes (manual, 20.1.1)."""
    word = value.strip().lower()
    return word != "" and any(w.startswith(word) for w in ("0", "off", "false", "no"))


def _given(value: str) -> bool:
    return bool(value.strip())


def _minimal(value: str) -> bool:
    return value.strip().lower() == "minimal"


def _not_latest(value: str) -> bool:
    return value.strip().lower() not in ("", "latest")


STOPS = mark("every replica would end its recovery there and stop following")
IMPOSSIBLE: Mapping[str, tuple[Judge, str]] = {
    "hot_standby": (
        off,
        mark("a replica would refuse every connection, so nobody could check it"),
    ),
    "wal_level": (_minimal, mark("the WAL would lack what a replica needs")),
    "recovery_target": (_given, STOPS),
    "recovery_target_lsn": (_given, STOPS),
    "recovery_target_name": (_given, STOPS),
    "recovery_target_time": (_given, STOPS),
    "recovery_target_xid": (_given, STOPS),
    "recovery_target_timeline": (_not_latest, mark("no replica would follow the next primary")),
    "promote_trigger_file": (_given, mark("a replica would become a second primary by a file")),
}
# Limits that only a restart raises; a replica needs one of each, and a base backup two senders.
LEAST: Mapping[str, int] = {"max_wal_senders": 2, "max_replication_slots": 0}


def limits(count: int) -> dict[str, int]:
    """What the settings need for this many replicas, where that is more than the default."""
    needs = {
        "max_wal_senders": count + 2 * min(count, PARALLEL),
        "max_replication_slots": count + 2,
    }
    return {name: need for name, need in needs.items() if need > DEFAULT}


def complaints(settings: Mapping[str, str], replicas: int) -> list[Text]:
    """Each of these settings that cannot work, with the reason."""
    found = []
    for name, value in settings.items():
        judge, reason = IMPOSSIBLE.get(name, (_never, ""))
        if judge(value):
            found.append(joined(": ", [f"{name} = {value}", t(reason)]))
        least = replicas + LEAST.get(name, 0)
        if name in LEAST and value.isdecimal() and int(value) < least:
            need = t("{replicas} replicas need {least}", replicas=replicas, least=least)
            found.append(joined(": ", [f"{name} = {value}", need]))
    return found


def _never(value: str) -> bool:
    return False
