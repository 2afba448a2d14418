"""For whom commits wait, and whether those are there (manual, 20.6.2 and 27.2.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..words.text import Text, t

METHOD = re.compile(r"(FIRST|ANY) ([1-9][0-9]?)")
# A standby that does not stream is neither sync nor quorum.
COMMITS = """
select current_setting('synchronous_standby_names') as names,
       (select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')) as there,
       (select count(*) from pg_stat_activity where wait_event = 'SyncRep') as waiting"""

# Which connection a commit waits for: a slot has one at a time.
FOLLOWERS = """
select r.application_name as name, s.slot_name::text as slot, r.sync_state as sync,
       coalesce(host(r.client_addr) || ':' || r.client_port, 'a socket') as address
from pg_stat_replication r left join pg_replication_slots s on s.active_pid = r.pid
order by 1, 4"""
WAITED_FOR = ("sync", "quorum")  # those of them that commits wait for
# Whom a replica says that it receives from.
RECEIVES = """
select slot_name as slot, sender_host || ':' || sender_port as sender
from pg_stat_wal_receiver where status = 'streaming'"""


def waited_for(method: str) -> int:
    """How many replicas a commit waits for."""
    found = METHOD.fullmatch(method)
    if not found:
        return 0
    return int(found[2])


def promised(method: str) -> Text:
    """What is true where commits wait as they shall. method: such as "ANY 1"; "" for nobody."""
    if not method:
        return t("commits wait for no replica")
    return t("commits wait for {method}: enough stream", method=method)


def seen(found: Mapping[str, Any]) -> Text:
    """The same of what `COMMITS` found."""
    method = METHOD.match(found["names"])
    if not found["names"]:
        return promised("")
    if not method:
        return t("commits wait for {names}", **found)
    if found["there"] >= int(method[2]):
        return promised(method[0])
    if not found["waiting"]:
        return t("commits wait for {names}, of which {there} stream", **found)
    return t("commits wait for {names}, of which {there} stream; {waiting} wait now", **found)
