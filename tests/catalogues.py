"""The catalogues of what a person reads: one of each room and language, made from the code.

`make words` adds what is new and takes out what is gone; `--check` says what is missing or stale.
"""

from __future__ import annotations

import inspect
import io
import string
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from pgrepl_lib.cli.main import main as command_line
from pgrepl_lib.words.language import ENGLISH, LANGUAGES
from pgrepl_lib.words.text import CATALOGUES

LIBRARY = CATALOGUES.parents[1]
TRANSLATED = sorted(set(LANGUAGES.values()) - {ENGLISH})
METHODS = [("**.py", "python"), ("**.j2", "jinja2.ext:babel_extract"), ("**.md", "ignore")]
KEYWORDS = {"t": None, "mark": None}
CLICK = (  # what click says itself, where a user of ours meets it
    "Aborted!",
    "Commands",
    "Could not open file {filename!r}: {message}",
    "Error: {message}",
    "Invalid value for {param_hint}: {message}",
    "Invalid value: {message}",
    "Missing argument",
    "Missing command.",
    "Missing option",
    "Missing parameter",
    "Missing parameter: {param_name}",
    "No such command {name!r}.",
    "No such option {name!r}.",
    "Option {name!r} does not take a value.",
    "Options",
    "Show this message and exit.",
    "Show the version and exit.",
    "Try '{command} {option}' for help.",
    "Usage:",
    "default: {default}",
    "{name} {filename!r} does not exist.",
    "{name} {filename!r} is a directory.",
    "{value!r} is not a valid {number_type}.",
)
EMPTY = tuple(  # lines of the head that say nothing, or another thing each time
    f'"{name}'.encode()
    for name in (
        "Project-Id-Version: ",
        "Report-Msgid-Bugs-To: ",
        "POT-Creation-Date: ",
        "PO-Revision-Date: ",
        "Last-Translator: ",
        "Language-Team: ",
        "Generated-By: ",
    )
)


def room_of(file: str) -> str:
    """The room of a file, which has a catalogue of its own."""
    return Path(file).parts[0] if len(Path(file).parts) > 1 else "library"


def extracted() -> dict[str, Catalog]:
    """The messages that each room has in the code."""
    rooms: dict[str, Catalog] = defaultdict(lambda: Catalog(project="pgrepl"))
    found = extract_from_dir(str(LIBRARY), METHODS, keywords=KEYWORDS)
    for file, _, message, _, _ in found:
        rooms[room_of(file)].add(message, locations=[(file, 1)])
    for message in CLICK:
        rooms["messages"].add(message, locations=[("click", 1)])
    for message in helped(command_line):
        rooms["cli"].add(message, locations=[("cli/--help", 1)])
    return rooms


def helped(command: click.Command) -> Iterator[str]:
    """What `--help` says of a command and of those below it, in English."""
    texts = [command.help, command.short_help, command.epilog]
    texts += [option.help for option in command.params if isinstance(option, click.Option)]
    yield from map(inspect.cleandoc, filter(None, texts))
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from helped(each)


def paths(language: str, room: str) -> tuple[Path, Path]:
    """Where a room's messages and their compiled form are."""
    folder = CATALOGUES / language / "LC_MESSAGES"
    return folder / f"{room}.po", folder / f"{room}.mo"


def renewed(language: str, room: str, wanted: Catalog) -> Catalog:
    """What is translated already, for what the code says now."""
    path, _ = paths(language, room)
    catalogue = Catalog(locale=language, project="pgrepl")
    if path.exists():
        catalogue = read_po(io.BytesIO(path.read_bytes()), locale=language)
    catalogue.update(wanted, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    catalogue.header_comment = f"# What pgrepl says in its room {room}."
    catalogue.fuzzy = False
    return catalogue


def as_text(catalogue: Catalog) -> bytes:
    """The file for people."""
    out = io.BytesIO()
    write_po(out, catalogue, width=100, sort_by_file=True, include_lineno=False)
    return b"".join(line for line in out.getvalue().splitlines(True) if not line.startswith(EMPTY))


def compiled(catalogue: Catalog) -> bytes:
    """The file for programs; it has no date, so that the same messages give the same file."""
    catalogue.creation_date = catalogue.revision_date = datetime.fromtimestamp(0, UTC)
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def places(text: str) -> set[str]:
    """The names in the {places} of a message."""
    return {name.split(".")[0] for _, name, _, _ in string.Formatter().parse(text) if name}


def wrong(catalogue: Catalog) -> Iterator[str]:
    """What is not translated, or has other {places} than its message."""
    for message in catalogue:
        if not message.id:
            continue
        if not message.string or message.fuzzy:
            yield f"not translated: {message.id!r}"
        elif places(str(message.id)) != places(str(message.string)):
            yield f"other places than its message: {message.string!r}"


def look(language: str, room: str, wanted: Catalog, *, check: bool) -> list[str]:
    """Renew one catalogue, or only say what is wrong with it."""
    catalogue = renewed(language, room, wanted)
    text, path, program = as_text(catalogue), *paths(language, room)
    files = {path: text, program: compiled(read_po(io.BytesIO(text), locale=language))}
    stale = [file for file, data in files.items() if not file.exists() or file.read_bytes() != data]
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in stale:
            file.write_bytes(files[file])
        stale = []
    found = [f"{file.relative_to(LIBRARY)} is stale: `make words`" for file in stale]
    return found + [f"{path.relative_to(LIBRARY)}: {why}" for why in wrong(catalogue)]


def ambiguous(language: str, rooms: Iterable[str]) -> Iterator[str]:
    """Messages that two rooms translate differently: whatever room says it, one of them would win."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (paths(language, room)[0] for room in rooms):
        if path.exists():
            for message in read_po(io.BytesIO(path.read_bytes()), locale=language):
                found[str(message.id)].add(str(message.string))
    yield from (f"two translations of {said!r}" for said in found if said and len(found[said]) > 1)


def main() -> int:
    """Renew or check all; the exit code."""
    check = "--check" in sys.argv
    rooms = extracted()
    found = [
        told
        for language in TRANSLATED
        for room, wanted in sorted(rooms.items())
        for told in look(language, room, wanted, check=check)
    ]
    found += [told for language in TRANSLATED for told in ambiguous(language, rooms)]
    print("\n".join(found) or f"{len(rooms)} catalogues are complete")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
