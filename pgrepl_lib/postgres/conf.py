"""`postgresql.conf` and `pg_hba.conf`, edited as managed blocks.

Everything that we write into either file stands between two marker lines, so that it can be read, replaced and
removed as a whole and the rest of the file stays the server's own. (PostgreSQL manual, 20.1.2 and 21.1.)
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

FENCE = "fence"  # the block of a fenced primary's pg_hba.conf
BARE_VALUE = re.compile(r"[a-z][a-z_]*|-?[0-9]+")
BARE_NAME = re.compile(r"[a-z_][a-z0-9_]*")
MAY_HOLD_A_SECRET = re.compile(
    r"_command$|passphrase$|passw(or)?d$|secret|token|api_?key|conninfo", re.IGNORECASE
)
# A setting with its value, also one that is commented out; an option of a rule in `pg_hba.conf` with all that follows it.
SETTING = re.compile(
    r"\s*(?P<comment>#)?\s*(?P<name>[A-Za-z_][\w.]*)(?(comment)\s*=\s*|(?:\s*=\s*|\s+))"
    r"(?P<value>'(?:[^'\\]|''|\\.)*'|[^#\n]*[^#\s])"
)
RULE_OPTION = re.compile(r"(?P<name>ldapbindpasswd|radiussecrets)\s*=\s*(?P<value>.+)")


def quote_value(value: str) -> str:
    """A value for `postgresql.conf`: quotes doubled, backslashes too, since the file knows C-style escapes."""
    if BARE_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def setting_lines(settings: Mapping[str, object]) -> list[str]:
    """`name = value`, a line each."""
    return [f"{name} = {quote_value(str(value))}" for name, value in settings.items()]


def hba_lines(user: str, network: IPv4Network, method: str) -> list[str]:
    """The rule that lets `user` replicate from `network`; a name that needs quoting is quoted."""
    name = (
        user
        if BARE_NAME.fullmatch(user) and user not in ("all", "replication")
        else hba_quote(user)
    )
    columns = ("host", "replication", name, str(network), method)
    return [
        "# TYPE  DATABASE        USER            ADDRESS                 METHOD",
        "{:7} {:15} {:15} {:23} {}".format(*columns),
    ]


def hba_quote(name: str) -> str:
    """A token for `pg_hba.conf` in double quotes, in which a double quote stands twice."""
    return '"' + name.replace('"', '""') + '"'


def marks(name: str) -> tuple[str, str]:
    """The lines between which the managed block `name` stands."""
    return f"# >>> pgrepl: {name}", f"# <<< pgrepl: {name}"


def with_block(text: str, name: str, lines: Sequence[str], *, first: bool = False) -> str:
    """The text with the managed block `name` holding `lines`.

    A block that is there is replaced in its place. A new one goes to the end (in `postgresql.conf` the last
    entry wins) or, with `first`, before the first entry (in `pg_hba.conf` the first match wins).
    """
    begin, end = marks(name)
    block = "\n".join((begin, *lines, end)) + "\n"
    old = re.compile(rf"^{re.escape(begin)}\n.*?^{re.escape(end)}\n", re.DOTALL | re.MULTILINE)
    if old.search(text):
        return old.sub(lambda _: block, text, count=1)
    if text and not text.endswith("\n"):
        text += "\n"
    if not first:
        return f"{text}\n{block}"
    entry = re.search(
        r"^(# >>> pgrepl: |[ \t]*[^#\s])", text, re.MULTILINE
    )  # not inside another block
    at = entry.start() if entry else len(text)
    return f"{text[:at]}{block}\n{text[at:]}"


def without_block(text: str, name: str) -> str:
    """The text without the managed block `name`, and without the empty line that came with it."""
    block = rf"^# >>> pgrepl: {name}\n.*?^# <<< pgrepl: {name}\n"
    return re.sub(
        rf"\n{block}\Z|\n{block}(?=\n)|{block}\n?",
        "",
        text,
        count=1,
        flags=re.DOTALL | re.MULTILINE,
    )


def with_changed_blocks(text: str, old: str, new: str, *, first: bool = False) -> str:
    """The text with the managed blocks that differ between two versions of it as in the new one; first: as in `with_block`."""
    was, now = _blocks(old), _blocks(new)
    for name in (n for n in {**was, **now} if was.get(n) != now.get(n)):
        text = (
            with_block(text, name, now[name], first=first)
            if name in now
            else without_block(text, name)
        )
    return text


def _blocks(text: str) -> dict[str, list[str]]:
    found = re.findall(
        r"^# >>> pgrepl: ([^\n]*)\n(.*?)^# <<< pgrepl: ", text, re.DOTALL | re.MULTILINE
    )
    return {name: lines.split("\n")[:-1] for name, lines in found}


def addition(text: str, name: str, path: str) -> str:
    """What the managed block `name` adds to the file without it and without the blocks behind it, as a unified diff."""
    names = re.findall(r"^# >>> pgrepl: (.*)$", text, re.MULTILINE)
    for later in names[names.index(name) + 1 :] if name in names else ():
        text = without_block(text, later)
    return diff(without_block(text, name), text, path)


def diff(old: str, new: str, path: str) -> str:
    """A unified diff of the two texts, as `patch` takes it; empty where they are the same.

    Of what is not in the new text's managed blocks, and so may be anybody's, secrets are masked.
    """
    ours = {line for lines in _blocks(new).values() for line in lines}
    found = difflib.unified_diff(_lines(old), _lines(new), path, path, n=1)
    shown = (
        line
        if line[0] != "-" and line[1:].rstrip("\n") in ours
        else line[0] + _masked_line(line[1:])
        for line in found
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in shown
    )


def masked(name: str, value: str) -> str:
    """A setting's value without what is secret in it: of a connection string its passwords, of a command or a key all of it.

    In place of the whole stands a checksum, so that a change is seen.
    """
    if name.lower() == "primary_conninfo":
        from psycopg import Error
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        try:
            words = {k: str(v) for k, v in conninfo_to_dict(value).items() if v is not None}
            return make_conninfo(
                "", **{k: v for k, v in words.items() if not re.search("password$|secret", k)}
            )
        except Error:
            pass  # not even libpq can read it
    return (
        f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:12]}"
        if value and MAY_HOLD_A_SECRET.search(name)
        else value
    )


def _masked_line(line: str) -> str:
    """A line of a configuration file without what is secret in it."""
    for found in filter(None, (SETTING.match(line), RULE_OPTION.search(line))):
        value = _bare(found["value"])
        shown = masked(found["name"], value) if MAY_HOLD_A_SECRET.search(found["name"]) else value
        if set(shown.split()) != set(value.split()):  # libpq's words may come in another order
            return f"{line[: found.start('value')]}{quote_value(shown)}{line[found.end('value') :]}"
    return line


def _bare(value: str) -> str:
    """A value as the server reads it."""
    return value[1:-1].replace("''", "'").replace("\\\\", "\\") if value.startswith("'") else value


def _lines(text: str) -> list[str]:
    """Lines as the server and `patch` count them: only a newline ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def settings_of_block(text: str, name: str) -> dict[str, str]:
    """The settings that the managed block `name` holds; none where there is no such block."""
    lines = _blocks(text).get(name, [])
    return managed_settings("\n".join([marks(name)[0], *lines, marks(name)[1]]))


def managed_settings(text: str) -> dict[str, str]:
    """The settings that our blocks of a `postgresql.conf` hold, as the server reads their values."""
    found: dict[str, str] = {}
    for block in re.findall(r"^# >>> pgrepl: .*?^# <<< pgrepl: ", text, re.DOTALL | re.MULTILINE):
        for name, value in re.findall(r"^([a-z_.0-9]+) = (.*)$", block, re.MULTILINE):
            found[name] = _bare(value)
    return found
