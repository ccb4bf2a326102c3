"""Records and events for tests, made as a door makes them."""

import random
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec

from ingest.event import EPOCH, NO_BODY, SCHEMA_VERSION, Record, encode_record, new_event_id, routing_key
from processors.batch import Place, Slice, take

TOPIC = "test.events"


def now_us() -> int:
    """The wall clock in Unix microseconds."""
    return time.time_ns() // 1000


def make_event_id(rng: random.Random, at_us: int) -> str:
    """A UUIDv7 of that time whose random part comes from `rng`."""
    value = int(new_event_id(at_us).replace("-", ""), 16)
    noise = rng.getrandbits(62)
    return str(UUID(int=value >> 62 << 62 | noise))


def native_record(
    *,
    event_id: str | None = None,
    session_id: str | None = "s-1",
    project_id: int = 1,
    received_at_us: int | None = None,
    request: bytes | None = None,
    response: bytes | None = None,
    **content: Any,
) -> Record:
    """A record of the native door; `content` are the event's own fields (spec: native API)."""
    received_at_us = received_at_us or now_us()
    return Record(
        schema_version=SCHEMA_VERSION,
        source="native",
        project_id=project_id,
        settings_version=1,
        event_id=event_id or new_event_id(received_at_us),
        received_at_us=received_at_us,
        content=msgspec.Raw(msgspec.json.encode(content)),
        session_id=session_id,
        request=NO_BODY if request is None else msgspec.Raw(request),
        response=NO_BODY if response is None else msgspec.Raw(response),
    )


def keyed(record: Record) -> tuple[bytes, bytes]:
    """Key and value of a record as a publisher takes them."""
    return routing_key(record.project_id, record.session_id, record.event_id), encode_record(record)


def make_slice(records: list[Record], *, partition: int = 0, expected_offset: int = 0, topic: str = TOPIC) -> Slice:
    """A partition's share of a batch with these records at consecutive offsets."""
    part = Slice(
        topic=topic,
        partition=partition,
        expected_offset=expected_offset,
        epoch=1,
        next_offset=expected_offset,
        end_offset=expected_offset + len(records),
        as_of=EPOCH,
    )
    for offset, record in enumerate(records, start=expected_offset):
        take(part, Place(topic, partition, offset), *keyed(record))
    return part


KINDS = ("llm", "tool", "vector_db", "data", "span")
PATHS = (None, "/", "/plan", "plan//search/", "/plan/search", "/review/security", "/review/security/deep")


def random_records(seed: int, *, count: int, sessions: int, prefix: str = "s") -> Iterator[Record]:
    """Events of many sessions, in order of receipt: all kinds, errors, late starts, several names and users."""
    rng = random.Random(seed)
    at_us = now_us() - count * 1000
    for number in range(count):
        at_us += rng.randrange(1, 1000)
        started_us = at_us - rng.randrange(0, 600_000_000)
        session = rng.randrange(sessions)
        yield native_record(
            event_id=make_event_id(rng, at_us),
            session_id=f"{prefix}-{session}" if rng.random() < 0.97 else None,
            received_at_us=at_us,
            request=b'{"messages":[{"role":"user","content":"question %d"}]}' % number,
            response=b'{"text":"answer %d"}' % number,
            kind=rng.choice(KINDS),
            path=rng.choice(PATHS),
            session_name=rng.choice([None, "Trip", "Support"]),
            user_id=rng.choice([None, *(f"user-{n}" for n in range(40 if session == 0 else 3))]),
            started_at=started_us / 1e6,
            ended_at=(started_us + rng.randrange(0, 30_000_000)) / 1e6,
            time_to_first_token_ms=rng.choice([None, rng.randrange(1, 900)]),
            status=rng.choice([200, 200, 200, 429, 500, -1, -2]),
            model=rng.choice([None, "gpt-4o", "claude"]),
            usage={"prompt_tokens": rng.randrange(1000), "completion_tokens": rng.randrange(500)},
            cost_nanousd=rng.choice([None, rng.randrange(10**7)]),
            properties={"environment": rng.choice(["production", "staging"])},
        )


def hand_made(**changes: Any) -> bytes:
    """The value of a record that no door would have published."""
    return msgspec.json.encode({**msgspec.json.decode(encode_record(native_record())), **changes})


UNDECODABLE = {
    "garbage": b"\x00\xffnot json",
    "no envelope": b"{}",
    "later schema": hand_made(schema_version=99),
    "unknown source": hand_made(source="elsewhere"),
    "status of 2^70": hand_made(content={"status": 2**70}),
    "status of 1000": hand_made(content={"status": 1000}),
    "session id of 2 KB": hand_made(session_id="s" * 2048),
    "no UUID": hand_made(event_id="one"),
    "unknown field": hand_made(content={"stauts": 200}),
}
"""Values that can lie on a topic but can never become events, by what is wrong with them."""
