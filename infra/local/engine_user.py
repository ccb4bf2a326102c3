"""The user that Postgres runs as when we are root, which Postgres refuses to be."""

import errno
import os
import pwd
import stat
import struct
import subprocess
from pathlib import Path

from infra.local.command import User
from infra.local.errors import LocalEngineError

ENGINE_USER = "pathline"

ACL_ATTRIBUTE = "system.posix_acl_access"
ACL_VERSION = 2
# Tags of the entries of a POSIX access control list (acl(5), linux/posix_acl.h), in the order the kernel wants.
USER_OBJ, NAMED_USER, GROUP_OBJ, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NO_ID = 0xFFFFFFFF


def engine_user() -> User | None:
    """Whom Postgres has to run as: nobody else unless we are root; then a user of its own, made if missing.

    Raises:
        LocalEngineError: the user does not exist and cannot be made here.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ENGINE_USER)
    except KeyError:
        entry = _make_user()
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_user() -> pwd.struct_passwd:
    command = ("useradd", "--system", "--no-create-home", "--shell", "/bin/false", ENGINE_USER)
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - the arguments are ours
    except (OSError, subprocess.CalledProcessError) as exc:
        raise LocalEngineError(
            f"Postgres refuses to run as root and `{' '.join(command)}` did not make the user it would run as ({exc}): "
            "make that user, or run as another one"
        ) from exc
    return pwd.getpwnam(ENGINE_USER)


def let_reach(path: Path, user: User) -> None:
    """Let the user pass through every folder above `path`, and change nothing for anybody else.

    A home like /root is closed to all others. The user gets an access control entry with the search permission alone
    on exactly the folders that stop it: it can go through them to a path that it knows and cannot list them.

    Raises:
        LocalEngineError: the file system has no such entries; names the two remedies.
    """
    for folder in reversed(path.resolve().parents):
        if not _may_search(folder, user):
            _grant_search(folder, user)


def _may_search(folder: Path, user: User) -> bool:
    status = folder.stat()
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    acl = _read_acl(folder)
    # A chmod since then may have closed the mask again, which caps what the entry gives.
    granted = acl.get((NAMED_USER, user.uid), 0) & acl.get((MASK, NO_ID), 0)
    return bool(status.st_mode & stat.S_IXOTH) or bool(granted & 1)


def _grant_search(folder: Path, user: User) -> None:
    mode = folder.stat().st_mode
    entries = _read_acl(folder) or {
        (USER_OBJ, NO_ID): mode >> 6 & 7,
        (GROUP_OBJ, NO_ID): mode >> 3 & 7,
        (OTHER, NO_ID): mode & 7,
    }
    entries[NAMED_USER, user.uid] = 1
    # The mask caps all groups and named users: it has to allow what they are given, the search among it.
    capped = [bits for (tag, _), bits in entries.items() if tag in (NAMED_USER, GROUP_OBJ)]
    entries[MASK, NO_ID] = entries.get((MASK, NO_ID), 0) | 1 | (0 if (MASK, NO_ID) in entries else max(capped))
    packed = struct.pack("<I", ACL_VERSION)
    for (tag, owner), bits in sorted(entries.items()):
        packed += struct.pack("<HHI", tag, bits, owner)
    try:
        os.setxattr(folder, ACL_ATTRIBUTE, packed)
    except OSError as exc:
        raise LocalEngineError(
            f"the user {user.name!r}, which Postgres runs as because we are root, cannot pass through {folder}: "
            f"run `chmod o+x {folder}`, or put the checkout and PATHLINE_HOME outside of it"
        ) from exc


def _read_acl(folder: Path) -> dict[tuple[int, int], int]:
    """(tag, id) -> permission bits; empty where the plain mode says everything."""
    try:
        packed = os.getxattr(folder, ACL_ATTRIBUTE)
    except OSError as exc:
        if exc.errno in (errno.ENODATA, errno.ENOTSUP):
            return {}
        raise
    return {(tag, owner): bits for tag, bits, owner in struct.iter_unpack("<HHI", packed[4:])}


def give(path: Path, user: User | None) -> None:
    """Make the user the owner of the file or folder; a no-op when there is no other user."""
    if user is not None:
        os.chown(path, user.uid, user.gid)
