"""The last picture of all keys on disk, for a process that starts while Postgres is away.

It holds hashes, permissions and settings, never a key. Any number of processes may write one file: each replaces it
whole, and each writes again whenever it sees a change, so the last picture stays.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import structlog

from infra.project_settings import ProjectSettings
from infra.projects import Credential

log = structlog.get_logger()

FORMAT = 1
"""Raised when older code would misread the file; a file of another format is not used."""

AGE_SECONDS_MAX = 7 * 24 * 3600
"""An older picture is not used: it bounds how long a key revoked meanwhile may work after a start without Postgres."""


class Picture(NamedTuple):
    """What Postgres had at a moment."""

    taken_at: float
    """Unix seconds."""
    credentials: dict[bytes, Credential]
    """By the key's hash."""


class _Entry(msgspec.Struct, array_like=True):
    key_hash: str
    project_id: int
    can_read: bool
    can_write: bool
    settings_version: int


class _Content(msgspec.Struct):
    taken_at: float
    keys: list[_Entry]
    settings: dict[str, ProjectSettings]


class _File(msgspec.Struct):
    format: int
    sha256: str
    """Of `content` as it stands in the file."""
    content: msgspec.Raw


def snapshot_file(home: Path, dsn: str) -> Path:
    """Where the keys of a database are kept; another database has another file. User and password do not count."""
    parts = urlsplit(dsn)
    place = f"{parts.netloc.rpartition('@')[2]}{parts.path}?{parts.query}"
    return home / f"keys-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"


def write_snapshot(file: Path, picture: Picture) -> None:
    """Replace the file by this picture: atomically, on disk when it returns, readable by its owner only.

    Raises:
        OSError: the folder cannot be written; the file is what it was.
    """
    data = msgspec.json.encode(_file_of(picture))
    file.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, mode 0600: other processes may write at the same time.
    handle, staging = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(staging).replace(file)
    except BaseException:
        Path(staging).unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_snapshot(file: Path) -> Picture | None:
    """The picture in the file; None, with a line in the log that says why, when it cannot or must not be used."""
    try:
        picture = _picture_in(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        log.warning("key_snapshot_ignored", file=str(file), reason=str(fault))
        return None
    age_seconds = time.time() - picture.taken_at
    if age_seconds > AGE_SECONDS_MAX:
        log.warning("key_snapshot_ignored", file=str(file), reason=f"{age_seconds / 86_400:.1f} days old")
        return None
    return picture


def _file_of(picture: Picture) -> _File:
    keys, settings = [], {}
    for key_hash, sender in picture.credentials.items():
        keys.append(
            _Entry(key_hash.hex(), sender.project_id, sender.can_read, sender.can_write, sender.settings_version)
        )
        # The secret of the webhook is nothing that the doors need.
        own = msgspec.structs.replace(sender.settings, webhook=None)
        settings[_settings_key(sender.project_id, sender.settings_version)] = own
    content = msgspec.json.encode(_Content(picture.taken_at, keys, settings))
    return _File(FORMAT, hashlib.sha256(content).hexdigest(), msgspec.Raw(content))


def _picture_in(data: bytes) -> Picture:
    # msgspec's errors are ValueErrors, and so is a text that is not UTF-8.
    file = msgspec.json.decode(data, type=_File)
    if file.format != FORMAT:
        raise ValueError(f"its format is {file.format}, this code reads {FORMAT}")
    if hashlib.sha256(file.content).hexdigest() != file.sha256:
        raise ValueError("its checksum is wrong")
    content = msgspec.json.decode(file.content, type=_Content)
    return Picture(
        content.taken_at,
        {bytes.fromhex(entry.key_hash): _credential(entry, content.settings) for entry in content.keys},
    )


def _credential(entry: _Entry, settings: Mapping[str, ProjectSettings]) -> Credential:
    own = settings.get(_settings_key(entry.project_id, entry.settings_version))
    if own is None:
        raise ValueError(f"it lacks the settings of project {entry.project_id}")
    return Credential(entry.project_id, entry.can_read, entry.can_write, entry.settings_version, own)


def _settings_key(project_id: int, version: int) -> str:
    return f"{project_id}/{version}"
