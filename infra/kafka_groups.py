"""Consumer groups as an operator sees them: who has which partition, and seeing to it that a member is gone.

A static member that stops keeps its partitions until the session times out, so that a restart moves nothing. Of a
member that will not come back somebody has to say so: aiokafka neither sends that when the member stops nor offers it,
so the request is written out here (Kafka's LeaveGroup, version 3, KIP-345).
"""

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

from infra.kafka import REQUEST_TIMEOUT_MS

GONE_CODES = (0, 25)
"""Of a member that leaves: it has left, or there was none of that name."""
MEMBER_ID_TAIL_CHARACTERS = 37
"""The broker names a static member by its instance id, a dash and a UUID."""


class _LeaveGroupResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class _LeaveGroupStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveGroupResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class _LeaveGroup(Request[_LeaveGroupStruct]):  # type: ignore[misc]
    API_KEY = 13

    def __init__(self, group: str, instance_ids: Sequence[str]) -> None:
        self._group, self._instance_ids = group, instance_ids

    def build(self, request_struct_class: type[_LeaveGroupStruct]) -> _LeaveGroupStruct:
        # An empty member id stands for whoever holds the instance id.
        return request_struct_class(self._group, [("", instance_id) for instance_id in self._instance_ids])


async def remove_members(servers: str, group_id: str, instance_ids: Sequence[str]) -> None:
    """Tell the group that these static members will not come back: their partitions move at once. Idempotent.

    Raises:
        KafkaError: the broker is away or refuses; the members then go when their sessions time out.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        coordinator = await admin.find_coordinator(group_id)
        answer = await admin._send_request_to_node(coordinator, _LeaveGroup(group_id, instance_ids))
        codes = [answer.error_code, *(code for _, _, code in answer.members)]
        for code in codes:
            if code not in GONE_CODES:
                raise for_code(code)(f"group {group_id}")
    finally:
        await admin.close()


async def owners(admin: AIOKafkaAdminClient, group_id: str, topic: str) -> dict[int, str]:
    """Partition -> the instance id of the member that has it; partitions that nobody has are missing.

    Raises:
        KafkaError: the broker is away.
    """
    found: dict[int, str] = {}
    (answer,) = await admin.describe_consumer_groups([group_id])
    for error_code, _, _, _, _, members, *_ in answer.groups:
        if for_code(error_code) is not NoError:
            raise for_code(error_code)(f"group {group_id}")
        for member_id, _, _, _, assignment in members:
            if assignment:
                assigned = dict(ConsumerProtocolMemberAssignment.decode(assignment).assignment)
                found |= dict.fromkeys(assigned.get(topic, ()), member_id[:-MEMBER_ID_TAIL_CHARACTERS])
    return found
