"""Files in containers, running or not, their volumes included."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from docker.errors import NotFound


def read_file(container: Any, path: str) -> bytes:
    """A file's content."""
    return _fetched(container, path)[1]


def is_private(container: Any, path: str, content: bytes, *, like: str) -> bool:
    """Whether a file has this content, the owner of the file `like` and mode 0600."""
    try:
        (found, held), (owner, _) = _fetched(container, path), _fetched(container, like)
    except NotFound:
        return False
    return (found.uid, found.mode & 0o777, held) == (owner.uid, 0o600, content)


def write_file(container: Any, path: str, text: str, *, like: str) -> None:
    """Write a file with the owner of the file `like` and mode 0600."""
    (owner, _), (folder, _, name) = _fetched(container, like), path.rpartition("/")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        entry = tarfile.TarInfo(name)
        entry.uid, entry.gid, entry.mode = owner.uid, owner.gid, 0o600
        entry.size = len(text.encode())
        made.addfile(entry, io.BytesIO(text.encode()))
    container.put_archive(folder, packed.getvalue())


def _fetched(container: Any, path: str) -> tuple[tarfile.TarInfo, bytes]:
    """A file's owner and mode, and its content."""
    chunks, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        entry = archive.getmembers()[0]
        file = archive.extractfile(entry)
        assert file, "the engine answers with the file or an error"
        return entry, file.read()
