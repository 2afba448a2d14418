"""What our own sessions depend on, and therefore set for themselves.

All of these can be changed for everybody in `postgresql.conf`, for a role by ALTER ROLE and for a
database by ALTER DATABASE. What a client asks for in its start-up packet comes before all three
(manual, 20.1.4).
"""

from __future__ import annotations

from collections.abc import Mapping

# role: a superuser may have been told to become somebody else. client_min_messages: a commit that
# was not confirmed by a replica is told by a warning only. synchronous_commit: what we write waits
# for the disk, and for no replica: it is no user's data. From DateStyle on: values are compared as
# texts.
OURS: Mapping[str, str] = {
    "role": "none",
    "statement_timeout": "60s",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "client_min_messages": "warning",
    "client_encoding": "UTF8",
    "lc_messages": "C",
    "search_path": "public",
    "default_tablespace": "",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "local",
    "session_replication_role": "origin",
    "standard_conforming_strings": "on",
    "password_encryption": "scram-sha-256",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "lc_numeric": "C",
}

# To see what holds for others: their settings, though not another role's eyes.
AS_CONFIGURED: Mapping[str, str] = {"role": "none"}

# To see whether others may write: the same limits and texts, but the server's own answer to that.
AS_A_CLIENT: Mapping[str, str] = {
    name: value for name, value in OURS.items() if name != "default_transaction_read_only"
}

# For a statement with a password in it: the server's log does not get it, not even with an error.
UNLOGGED: Mapping[str, str] = {
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
}

# A commit that means what the cluster promises, whatever a setting makes of those of others.
CONFIRMED: Mapping[str, str] = {**OURS, "synchronous_commit": "on", "statement_timeout": "0"}


def options(settings: Mapping[str, str]) -> str:
    """The settings as libpq's parameter `options`, and PGOPTIONS, take them (manual, 34.1.2)."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def statements(settings: Mapping[str, str]) -> str:
    """The same as SQL, for plain values."""
    return " ".join(f"set {name} = {value};" for name, value in settings.items())


def _escaped(value: str) -> str:
    """Spaces and backslashes are preceded by a backslash."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


# PGOPTIONS of a program that we start: as our own sessions, and as long as it takes.
FOR_PROGRAMS = options({**OURS, "statement_timeout": "0"})
