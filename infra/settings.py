"""Settings of the connections that every stage shares, read from the environment once.

A stage builds its settings in its `__main__` and nowhere else. A value that is blank or out of range stops
the start with all faults at once (pydantic's `ValidationError`), before anything listens.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class StageSettings(BaseSettings):
    """Base of every settings model: frozen, and a blank variable is an error rather than a default."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_ignore_empty=False,
        # Code gives values by the field's name. The environment must not: HOME would be `home`. It only knows the
        # aliases, because no shell can set a variable with this prefix.
        populate_by_name=True,
        env_prefix="by.name.only.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_blank(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            raise ValueError("is blank; unset the variable to take the default")
        return value


class LocalSettings(StageSettings):
    """Where the engines of this machine live and which loopback ports they take."""

    home: Path = Field(Path(".pathline"), alias="PATHLINE_HOME")
    """Folder of all local state: data, logs, jars, the first API key, and the last picture of all keys (hashes)."""
    kafka_port: int = Field(8192, alias="KAFKA_PORT", ge=1, le=65535)
    """Loopback port of the local broker."""
    kafka_controller_port: int = Field(8193, alias="KAFKA_CONTROLLER_PORT", ge=1, le=65535)
    """Loopback port of the local broker's KRaft controller."""
    postgres_port: int = Field(8432, alias="POSTGRES_PORT", ge=1, le=65535)
    """Loopback port of the local Postgres."""

    ingest_port: int = Field(8100, alias="INGEST_PORT", ge=1, le=65535)
    """Loopback port of the ingest service."""
    query_port: int = Field(8200, alias="QUERY_PORT", ge=1, le=65535)
    """Loopback port of the query service and the dashboard."""
    processors_port: int = Field(8300, alias="PROCESSORS_PORT", ge=0, le=65000)
    """Loopback port on which the worker of slot 1 answers `/readyz` and `/metrics`; slot n has this plus n - 1."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def postgres_password_file(self) -> Path:
        """Mode 0600; made by the first start of the local Postgres."""
        return self.home / "postgres-password"

    @property
    def api_key_file(self) -> Path:
        """Mode 0600; the key of the project `default`, made by the first `make run`."""
        return self.home / "api-key"

    @property
    def logs(self) -> Path:
        """One file per process, each bounded in size."""
        return self.home / "logs"

    @property
    def kafka_servers(self) -> str:
        """Bootstrap address of the local broker."""
        return f"127.0.0.1:{self.kafka_port}"

    def postgres_dsn(self) -> str:
        """DSN of the local database with its generated password.

        Raises:
            FileNotFoundError: the local Postgres has never been started here (`make up` does).
        """
        password = self.postgres_password_file.read_text().strip()
        return f"postgresql://pathline:{quote(password)}@127.0.0.1:{self.postgres_port}/pathline"


class KafkaSettings(StageSettings):
    """The broker. Unset, it is the local engine's address."""

    bootstrap: str | None = Field(None, alias="PATHLINE_KAFKA")
    """`host:port[,host:port]` of a broker that already runs; when set, no local broker is started."""
    events_topic: str = Field("pathline.events", alias="PATHLINE_EVENTS_TOPIC")
    """Where ingest puts events and the processors find them. Another topic must exist already."""
    spans_topic: str = Field("pathline.spans", alias="PATHLINE_SPANS_TOPIC")
    """The same for OpenTelemetry's spans."""
    replication_factor: int = Field(1, alias="KAFKA_REPLICATION_FACTOR", ge=1, le=15)
    """Copies of every partition. 1 is the local engine's; use 3 on a real cluster."""
    in_sync_replicas_min: int = Field(1, alias="KAFKA_IN_SYNC_REPLICAS_MIN", ge=1, le=15)
    """Copies that must have a record before it is acknowledged. 2 on a real cluster."""

    def servers(self, local: LocalSettings | None = None) -> str:
        """The bootstrap list: the one given, else the local engine's."""
        return self.bootstrap or (local or LocalSettings()).kafka_servers


class PostgresSettings(StageSettings):
    """The database. Unset, it is the local engine's address."""

    dsn: str | None = Field(None, alias="PATHLINE_POSTGRES")
    """`postgresql://user:password@host:port/database`; when set, no local Postgres is started."""

    def address(self, local: LocalSettings | None = None) -> str:
        """The DSN: the one given, else the local engine's with its generated password.

        Raises:
            FileNotFoundError: the local Postgres has never been started here (`make up` does).
        """
        return self.dsn or (local or LocalSettings()).postgres_dsn()
