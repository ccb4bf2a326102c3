"""The log files of the local processes, bounded in size."""

import os
import shutil
from pathlib import Path

LOG_BYTES_MAX = 16 * 1024 * 1024
"""A file beyond this is rotated; with one older file each, a process keeps at most twice as much."""


def rotate_large_logs(folder: Path) -> None:
    """Move what large logs hold into `<name>.log.1`, replacing that.

    Processes hold their log open and append, so it is copied and cut, not renamed; what is written between the two
    steps is lost. That bounds the disk without a pipe that every line of every process would have to pass.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)
