"""Settings of the worker, read from the environment once."""

from pydantic import Field

from infra.settings import StageSettings


class ProcessorSettings(StageSettings):
    """One worker. Workers differ only in `instance`."""

    group_id: str = Field("pathline-processors", alias="PROCESSORS_GROUP")
    """Consumer group; workers of one group share the partitions."""
    instance: str = Field("1", alias="PROCESSORS_INSTANCE", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """Stable name of this worker's slot: a restart under the same name gets its partitions back at once."""
    batch_bytes_max: int = Field(8 * 1024 * 1024, alias="PROCESSORS_BATCH_BYTES_MAX", ge=64 * 1024, le=16 * 1024 * 1024)
    """Record bytes that one transaction takes; reached before any count of events."""
    days_interval_seconds: float = Field(3600.0, alias="PROCESSORS_DAYS_INTERVAL_SECONDS", gt=0)
    """Between two runs of the leader's job that makes the partitions of the next days."""
    retention_interval_seconds: float = Field(600.0, alias="PROCESSORS_RETENTION_INTERVAL_SECONDS", gt=0)
    """Between two runs of the leader's job that removes what is older than its project keeps."""
