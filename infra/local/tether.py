"""Become another program that cannot outlive its parent: `tether.py SIGNAL PARENT_PID UID GID PROGRAM [ARG...]`.

Runs as a file, isolated and without site-packages (about 15 ms), because the alternative, code between fork and exec,
is unsafe in a process that has threads. UID and GID are "-" to stay who we are. On Linux the kernel sends SIGNAL when
the parent's thread dies, even by SIGKILL; elsewhere the next start stops what its process record names.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process; returns never, exits with 0 when the parent is gone already."""
    death_signal, parent_pid, uid, gid, *program = arguments
    if gid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        # After the change of user: that clears the setting.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != int(parent_pid):
            sys.exit(0)
    os.execvp(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
