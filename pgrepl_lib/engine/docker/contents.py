"""Files in containers, running or not, their volumes included."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from docker.errors import NotFound


def read_file(container: Any, path: str) -> bytes:
    """A file's content."""
    chunks, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        assert member, "the engine answers with the file or an error"
        return member.read()


def is_private(container: Any, path: str, content: bytes, *, like: str) -> bool:
    """Whether a file has this content, the owner of the file `like` and mode 0600."""
    try:
        found, owner = _member(container, path), _member(container, like)
    except NotFound:
        return False
    if found.uid != owner.uid or found.mode & 0o777 != 0o600:
        return False
    return read_file(container, path) == content


def write_file(container: Any, path: str, text: str, *, like: str) -> None:
    """Write a file with the owner of the file `like` and mode 0600."""
    owner, (folder, _, name) = _member(container, like), path.rpartition("/")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        entry = tarfile.TarInfo(name)
        entry.uid, entry.gid, entry.mode = owner.uid, owner.gid, 0o600
        entry.size = len(text.encode())
        made.addfile(entry, io.BytesIO(text.encode()))
    container.put_archive(folder, packed.getvalue())


def _member(container: Any, path: str) -> tarfile.TarInfo:
    """A file's owner, mode and size."""
    chunks, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return archive.getmembers()[0]
