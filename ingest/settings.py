"""Settings of ingest, read from the environment once, in `__main__`."""

from pathlib import Path

from pydantic import Field

from infra.settings import StageSettings
from infra.topics import BATCH_BYTES_MAX

MIB = 1024 * 1024


class IngestSettings(StageSettings):
    """What ingest listens on and how much it takes. Connections are `KafkaSettings` and `PostgresSettings`."""

    host: str = Field("127.0.0.1", alias="INGEST_HOST")
    """Address to listen on; unused when a listening socket is inherited."""
    port: int = Field(8100, alias="INGEST_PORT", ge=1, le=65535)
    """Port to listen on; unused when a listening socket is inherited."""
    native_body_bytes_max: int = Field(64 * MIB, alias="INGEST_NATIVE_BODY_BYTES_MAX", ge=1024)
    """Body of `POST /v1/events` after decompression."""
    helicone_body_bytes_max: int = Field(10 * MIB, alias="INGEST_HELICONE_BODY_BYTES_MAX", ge=1024)
    """Body of a log endpoint after decompression; Helicone's own limit."""
    otlp_body_bytes_max: int = Field(64 * MIB, alias="INGEST_OTLP_BODY_BYTES_MAX", ge=1024)
    """Body of an OTLP export, as sent and after decompression."""
    reading_bytes_max: int = Field(256 * MIB, alias="INGEST_READING_BYTES_MAX", ge=MIB)
    """Bodies of all connections that have arrived in part; beyond it new ones are answered 503."""
    body_seconds_max: float = Field(30.0, alias="INGEST_BODY_SECONDS_MAX", gt=0)
    """How long one body may take to arrive; slower is answered 408."""
    in_flight_bytes_max: int = Field(256 * MIB, alias="INGEST_IN_FLIGHT_BYTES_MAX", ge=16 * MIB)
    """Records in memory that neither the broker nor the spool has yet; beyond it events are answered 503."""
    batch_bytes_max: int = Field(MIB, alias="INGEST_BATCH_BYTES_MAX", ge=16 * 1024, le=BATCH_BYTES_MAX)
    """One producer batch. A larger record still travels, alone."""
    ack_timeout_seconds: float = Field(2.0, alias="INGEST_ACK_TIMEOUT_SECONDS", gt=0, le=60)
    """How long an event waits for its acknowledgement before it goes to the spool."""
    spool: Path | None = Field(None, alias="INGEST_SPOOL")
    """Folder for what the broker does not take, on a disk of this machine; unset, `spool` in `PATHLINE_HOME`."""
    spool_bytes_max: int = Field(1024 * MIB, alias="INGEST_SPOOL_BYTES_MAX", ge=MIB)
    """What one ingest process may keep there; beyond it events are answered 503."""
    spool_segment_bytes_max: int = Field(64 * MIB, alias="INGEST_SPOOL_SEGMENT_BYTES_MAX", ge=64 * 1024)
    """One file of the spool; the next begins when it is reached."""
    head_seconds_max: float = Field(10.0, alias="INGEST_HEAD_SECONDS_MAX", gt=0)
    """How long the head of a request may take to arrive; then its connection is closed."""
    keep_alive_seconds: int = Field(75, alias="INGEST_KEEP_ALIVE_SECONDS", ge=1)
    """How long an idle connection is kept: longer than a load balancer's 60 s, so that the client closes first."""
    stop_seconds_max: int = Field(8, alias="INGEST_STOP_SECONDS_MAX", ge=4)
    """How long a stop waits for requests that are being answered."""
