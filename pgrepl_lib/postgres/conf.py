"""`postgresql.conf` and `pg_hba.conf`, edited as managed blocks.

Everything that we write into either file stands between two marker lines, so that it can be read,
replaced and removed as a whole and the rest of the file stays the server's own. (PostgreSQL manual,
20.1.2 and 21.1.)
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network

from ..words.text import t

DRILL = "drill"  # the block of a drill, which no run leaves
FENCE = "fence"  # the block of a fenced primary's pg_hba.conf
BARE_VALUE = re.compile(r"[a-z][a-z_]*|-?[0-9]+")
BARE_NAME = re.compile(r"[a-z_][a-z0-9_]*")
MAY_HOLD_A_SECRET = re.compile(
    r"_command$|passphrase$|passw(or)?d$|secret|token|api_?key|conninfo", re.IGNORECASE
)
VALUE = r"(?P<value>'(?:[^'\\]|''|\\.)*'|[^#\n]*[^#\s])"
# A setting with its value, which a space may divide; in one that is commented out only a sign.
SETTING = re.compile(rf"\s*(?P<name>[A-Za-z_][\w.]*)(?:\s*=\s*|\s+){VALUE}")
UNUSED = re.compile(rf"\s*#\s*(?P<name>[A-Za-z_][\w.]*)\s*=\s*{VALUE}")
# An option of a rule in `pg_hba.conf` with all that follows it.
RULE_OPTION = re.compile(r"(?P<name>ldapbindpasswd|radiussecrets)\s*=\s*(?P<value>.+)")
CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # also bytes that are no text in this locale
NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
# Owned by the engine or by the document's steps: a second owner is what correction 4 is about.
OWNED = [
    "port",
    "listen_addresses",
    "unix_socket_directories",
    "config_file",
    "hba_file",
    "ident_file",
    "data_directory",
    "external_pid_file",
    "primary_conninfo",
    "primary_slot_name",
    "include",
    "include_dir",
    "include_if_exists",
    "synchronous_standby_names",
]


def quote_value(value: str) -> str:
    """A value for `postgresql.conf`: quotes and, for its C-style escapes, backslashes doubled."""
    if BARE_VALUE.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def text_of(name: str, value: object) -> str:
    """What a setting that is asked for is to be; raises `ValueError` for one that cannot be."""
    if not NAME.fullmatch(name):
        raise ValueError(t("{name!r} is not a setting's name", name=name))
    if name in OWNED:
        raise ValueError(t("{name} is set by the engine or by the document's own steps", name=name))
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, (str, int, float)) or CONTROL.search(str(value)):
        raise ValueError(t("the value of {name} must be text or a number, on one line", name=name))
    return str(value)


def listed(value: str) -> list[str]:
    """The names in a setting that is a list of them."""
    words = (word.strip(' "') for word in value.split(","))
    return [word for word in words if word]


def setting_lines(settings: Mapping[str, object]) -> list[str]:
    """`name = value`, a line each."""
    return [f"{name} = {quote_value(str(value))}" for name, value in settings.items()]


def hba_lines(
    user: str,
    network: IPv4Network,
    method: str,
    kind: str = "host",
    databases: Sequence[str] = ("replication",),
) -> list[str]:
    """The rule that lets `user` replicate from `network`; a name that needs quoting is quoted.

    databases: with whatever else than `replication` it may connect to, a rule each.
    """
    who, where = hba_user(user), str(network)
    return [
        "# TYPE  DATABASE        USER            ADDRESS                 METHOD",
        *(hba_line(kind, database, who, where, method) for database in databases),
    ]


def hba_line(kind: str, database: str, user: str, address: str, method: str) -> str:
    """A rule, in the columns of the file's own; user: as the file takes it."""
    return f"{kind:7} {database:15} {user:15} {address:23} {method}"


def hba_user(name: str) -> str:
    """A user's name for `pg_hba.conf`, quoted where it would mean something else."""
    if name in ("all", "replication") or not BARE_NAME.fullmatch(name):
        return hba_quote(name)
    return name


def hba_quote(name: str) -> str:
    """A token for `pg_hba.conf` in double quotes, in which a double quote stands twice."""
    return '"' + name.replace('"', '""') + '"'


def marks(name: str) -> tuple[str, str]:
    """The lines between which the managed block `name` stands."""
    return f"# >>> pgrepl: {name}", f"# <<< pgrepl: {name}"


def with_block(text: str, name: str, lines: Sequence[str], *, first: bool = False) -> str:
    """The text with the managed block `name` holding `lines`.

    A block that is there is replaced in its place. A new one goes to the end (in `postgresql.conf`
    the last entry wins) or, with `first`, before the first entry (in `pg_hba.conf` the first match
    wins).
    """
    begin, end = marks(name)
    block = "\n".join((begin, *lines, end)) + "\n"
    old = re.compile(rf"^{re.escape(begin)}\n.*?^{re.escape(end)}\n", re.DOTALL | re.MULTILINE)
    if found := old.search(text):
        return text[: found.start()] + block + text[found.end() :]
    if text and not text.endswith("\n"):
        text += "\n"
    if not first:
        return f"{text}\n{block}"
    outside = r"^(# >>> pgrepl: |[ \t]*[^#\s])"  # not inside another block
    before = re.split(outside, text, maxsplit=1, flags=re.MULTILINE)[0]
    return f"{before}{block}\n{text[len(before) :]}"


def without_block(text: str, name: str) -> str:
    """The text without the managed block `name`, and without the empty line that came with it."""
    block = rf"^# >>> pgrepl: {name}\n.*?^# <<< pgrepl: {name}\n"
    places = rf"\n{block}\Z|\n{block}(?=\n)|{block}\n?"
    return re.sub(places, "", text, count=1, flags=re.DOTALL | re.MULTILINE)


def is_whole(text: str) -> bool:
    """Whether there is more than our managed blocks: they were written into the server's file."""
    for name in blocks(text):
        text = without_block(text, name)
    return bool(text.strip())


def with_changed_blocks(text: str, old: str, new: str, *, first: bool = False) -> str:
    """The text, with the blocks that differ as in `new`; first: as in `with_block`."""
    was, now = blocks(old), blocks(new)
    for name in (n for n in {**was, **now} if was.get(n) != now.get(n)):
        if name not in now:
            text = without_block(text, name)
            continue
        text = with_block(text, name, now[name], first=first)
    return text


def blocks(text: str) -> dict[str, list[str]]:
    """The lines of each managed block, by its name."""
    found = re.findall(
        r"^# >>> pgrepl: ([^\n]*)\n(.*?)^# <<< pgrepl: ", text, re.DOTALL | re.MULTILINE
    )
    return {name: lines.split("\n")[:-1] for name, lines in found}


def addition(text: str, name: str, path: str, *, first: bool = False) -> str:
    """What the managed block `name` adds to the file without those that came later, as a diff.

    first: as in `with_block`: each came before the ones that were there.
    """
    names = re.findall(r"^# >>> pgrepl: (.*)$", text, re.MULTILINE)
    if first:
        names.reverse()
    for later in names[names.index(name) + 1 :] if name in names else ():
        text = without_block(text, later)
    return diff(without_block(text, name), text, path)


def diff(old: str, new: str, path: str) -> str:
    """A unified diff of the two texts, as `patch` takes it; empty where they are the same.

    Of what is not in the new text's managed blocks, and so may be anybody's, secrets are masked.
    """
    ours = {line for lines in blocks(new).values() for line in lines}
    found = difflib.unified_diff(_lines(old), _lines(new), path, path, n=1)

    def shown(line: str) -> str:
        if line[0] == "-" or line[1:].rstrip("\n") not in ours:
            line = line[0] + _masked_line(line[1:])
        return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"

    return "".join(map(shown, found))


def masked(name: str, value: str) -> str:
    """A setting's value without what is secret in it.

    That is the passwords of a connection string, all of a command or a key: in place of the whole
    stands a checksum, so that a change is seen.
    """
    if name.lower() == "primary_conninfo":
        from psycopg import Error

        with suppress(Error):  # not even libpq can read it
            return _without_passwords(value)
    if value and MAY_HOLD_A_SECRET.search(name):
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:12]}"
    return value


def _without_passwords(conninfo: str) -> str:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    words = {k: str(v) for k, v in conninfo_to_dict(conninfo).items() if v is not None}
    kept = {k: v for k, v in words.items() if not re.search("password$|secret", k)}
    return make_conninfo("", **kept)


def _masked_line(line: str) -> str:
    """A line of a configuration file without what is secret in it."""
    looks = SETTING.match(line), UNUSED.match(line), RULE_OPTION.search(line)
    for found in filter(None, looks):
        value = _bare(found["value"])
        shown = masked(found["name"], value) if MAY_HOLD_A_SECRET.search(found["name"]) else value
        if set(shown.split()) != set(value.split()):  # libpq's words may come in another order
            return f"{line[: found.start('value')]}{quote_value(shown)}{line[found.end('value') :]}"
    return line


def _bare(value: str) -> str:
    """A value as the server reads it."""
    if not value.startswith("'"):
        return value
    return value[1:-1].replace("''", "'").replace("\\\\", "\\")


def _lines(text: str) -> list[str]:
    """Lines as the server and `patch` count them: only a newline ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def settings_of_block(text: str, name: str) -> dict[str, str]:
    """The settings that the managed block `name` holds; none where there is no such block."""
    lines = blocks(text).get(name, [])
    return managed_settings("\n".join([marks(name)[0], *lines, marks(name)[1]]))


def rule_of_block(text: str, name: str) -> tuple[str, str]:
    """Type and method of the first rule in the managed block `name` of a `pg_hba.conf`.

    Both are empty without one.
    """
    rules = (re.match(r"(host\w*).*/\d+\s+(\S+)", line) for line in blocks(text).get(name, []))
    return next(((rule[1], rule[2]) for rule in rules if rule), ("", ""))


def managed_settings(text: str) -> dict[str, str]:
    """The settings that our blocks of a `postgresql.conf` hold, as the server reads them."""
    found: dict[str, str] = {}
    for block in re.findall(r"^# >>> pgrepl: .*?^# <<< pgrepl: ", text, re.DOTALL | re.MULTILINE):
        for name, value in re.findall(r"^([a-z_.0-9]+) = (.*)$", block, re.MULTILINE):
            found[name] = _bare(value)
    return found
