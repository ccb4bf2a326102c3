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
    idle_failures_interval_seconds: float = Field(5.0, alias="PROCESSORS_IDLE_FAILURES_INTERVAL_SECONDS", gt=0)
    """Between two looks of the leader for sessions that failed by going idle."""
    alerts_interval_seconds: float = Field(1.0, alias="PROCESSORS_ALERTS_INTERVAL_SECONDS", gt=0)
    """Between two looks of the leader for alerts to be sent."""
    memory_bytes_max: int = Field(96 * 1024 * 1024, alias="PROCESSORS_MEMORY_BYTES_MAX", ge=80 * 1024 * 1024)
    """Record bytes that a worker holds, fetched or in work, a share for each stream; beyond it partitions pause."""
    host: str = Field("127.0.0.1", alias="PROCESSORS_HOST")
    """Address on which the worker answers `/livez`, `/readyz` and `/metrics`."""
    port: int = Field(8300, alias="PROCESSORS_PORT", ge=0, le=65535)
    """Port for that; 0 takes any free one, which the log names. `make run` adds n - 1 in slot n."""

    @property
    def spans_group_id(self) -> str:
        """Consumer group for the topic of spans."""
        return f"{self.group_id}-spans"

    @property
    def leader_group_id(self) -> str:
        """Consumer group by which the workers choose a leader."""
        return f"{self.group_id}-leader"


def hot_instance_id(instance: str) -> str:
    """Static member of the groups that consume."""
    return f"hot-{instance}"


def leader_instance_id(instance: str) -> str:
    """Static member of the group that chooses a leader."""
    return f"leader-{instance}"
