"""Which log a topic is: its cluster and its own id, which tell a topic from another one that had its name.

aiokafka asks for metadata in a version that has no ids of topics yet (KIP-516), so version 10 is written out here.
"""

from dataclasses import dataclass
from uuid import UUID

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from infra.kafka import REQUEST_TIMEOUT_MS

NO_ID = (0, 0)


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                # A UUID is sixteen bytes.
                ("topic_id_high", Int64),
                ("topic_id_low", Int64),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id_high", Int64), ("topic_id_low", Int64), ("name", CompactString()), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        return request_struct_class([(*NO_ID, self._topic, {})], False, False, False, {})


@dataclass(frozen=True)
class Log:
    """A topic as it is now."""

    log_id: str
    """`<cluster id>/<topic id>`: what stored offsets of the topic are valid for."""
    partitions: list[int]


async def read_log(servers: str, topic: str) -> Log:
    """Ask the broker which log a topic is.

    Raises:
        KafkaError: the broker is away, or has no such topic.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        answer = await admin._send_request(_Metadata(topic))
    finally:
        await admin.close()
    ((code, _, high, low, _, partitions, *_),) = answer.topics
    if code != NoError.errno:
        raise for_code(code)(f"topic {topic}")
    topic_id = UUID(bytes=Int64.encode(high) + Int64.encode(low))
    return Log(f"{answer.cluster_id}/{topic_id}", sorted(number for _, number, *_ in partitions))
