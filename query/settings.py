"""Settings of the query service, read from the environment once, in `__main__`."""

from pydantic import Field

from infra.settings import StageSettings


class QuerySettings(StageSettings):
    """How the query service listens and how much it may take from Postgres."""

    port: int = Field(8200, alias="QUERY_PORT", ge=1, le=65535)
    """Loopback port, when no listening socket is passed on by the supervisor."""
    connections_max: int = Field(8, alias="QUERY_CONNECTIONS_MAX", ge=1, le=200)
    """Connections to Postgres of one process; questions beyond wait for a free one."""
    statement_timeout_ms: int = Field(10_000, alias="QUERY_STATEMENT_TIMEOUT_MS", ge=100, le=25_000)
    """A statement that runs longer is answered 504; stays below the pool's transaction limit of 30 s."""
    connection_wait_seconds: float = Field(5.0, alias="QUERY_CONNECTION_WAIT_SECONDS", gt=0, le=60)
    """A question that gets no connection within this time is answered 503."""
    drain_seconds: int = Field(8, alias="QUERY_DRAIN_SECONDS", ge=1, le=60)
    """After SIGTERM, questions under way may take this long; `make run` must stop within 10 s."""
