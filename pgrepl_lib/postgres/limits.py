"""What a number of replicas needs of their primary."""

PARALLEL = 4  # base backups at once; each takes two of the primary's WAL senders
DEFAULT = 10  # of both settings, in the server and in the document


def limits(count: int) -> dict[str, int]:
    """What the settings need for this many replicas, where that is more than the default."""
    needs = {
        "max_wal_senders": count + 2 * min(count, PARALLEL),
        "max_replication_slots": count + 2,
    }
    return {name: need for name, need in needs.items() if need > DEFAULT}
