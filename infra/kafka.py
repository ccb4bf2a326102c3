"""Producers and consumers of Kafka with every option explicit, each with its reason."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from infra.topics import BATCH_BYTES_MAX

REQUEST_TIMEOUT_MS = 10_000
"""Longer than any healthy answer; shorter than a person waits."""

CONSUMER_SESSION_TIMEOUT_MS = 10_000
"""A worker that is silent this long loses its partitions: the longest that a frozen one holds them up."""


FETCH_BYTES_MAX = BATCH_BYTES_MAX
"""One answer of a broker to a consumer. Where it begins with a single larger batch it holds that and nothing else."""


def make_producer(servers: str, *, batch_bytes_max: int) -> AIOKafkaProducer:
    """An idempotent producer for ready-made batches (`create_batch`, `send_batch`); not started yet.

    A batch takes records up to `batch_bytes_max`, and always a first one, however large.

    After any error that is not retriable it must be closed and replaced: aiokafka 0.14 fails every later batch of
    that partition once a sequence number is lost.
    """
    return AIOKafkaProducer(
        bootstrap_servers=servers,
        # 2xx means that every in-sync replica has the record.
        acks="all",
        enable_idempotence=True,
        # Batches are built by the publisher: the library must not wait for more.
        linger_ms=0,
        max_batch_size=batch_bytes_max,
        max_request_size=BATCH_BYTES_MAX + 64 * 1024,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=60_000,
        retry_backoff_ms=50,
        # The publisher's batches are appended uncompressed: on one machine the processor costs more than the disk.
        compression_type=None,
    )


def make_consumer(servers: str, *, group_id: str | None, instance_id: str | None) -> AIOKafkaConsumer:
    """A consumer whose position is decided by Postgres alone; not started, not subscribed.

    Without a group it is only good for asking about offsets. `instance_id` makes the membership static: a worker that
    is killed and started again under the same id gets its partitions back at once, not after the session time-out.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=servers,
        group_id=group_id,
        group_instance_id=instance_id,
        # The stored offset decides; an offset that the broker no longer has must stop the partition, not skip.
        auto_offset_reset="none",
        enable_auto_commit=False,
        # One partition's share of a fetch. A larger record still comes: the broker always sends a first whole batch.
        max_partition_fetch_bytes=2 * 1024 * 1024,
        fetch_max_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=100,
        session_timeout_ms=CONSUMER_SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=1_000,
        # While the database holds a batch up the loop does not poll. After this long the group hands the partitions on;
        # whoever gets them begins at the stored offsets, so a longer outage costs a second reading and nothing else.
        max_poll_interval_ms=300_000,
        request_timeout_ms=REQUEST_TIMEOUT_MS * 2,
        metadata_max_age_ms=30_000,
        isolation_level="read_committed",
    )
