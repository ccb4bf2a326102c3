"""Goal: the door admits exactly the events that decoding takes, although it computes less of them."""

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.decode.native import admit_event, check_event, parse_event
from ingest.event import FUTURE_MAX, InvalidEvent

RECEIVED_AT_US = 1_795_514_400_000_000
LIMIT = RECEIVED_AT_US / 1e6 + FUTURE_MAX.total_seconds()
ID = "3b241101-e2bb-4255-8caf-4136c566a962"

near_limits = st.builds(
    lambda base, off: base + off,
    st.sampled_from([0.0, RECEIVED_AT_US / 1e6, RECEIVED_AT_US / 1e6 + 3_600, LIMIT, 1e12]),
    st.floats(-2, 2) | st.sampled_from([0.0, 1e-6, -1e-6, 5e-7, -5e-7]),
)
times = st.none() | near_limits | st.integers(-1, 2**40) | st.sampled_from(["2026-11-24T10:00:00Z", "soon"])
properties = st.none() | st.dictionaries(st.text("ab", max_size=300), st.text("ab", max_size=300) | st.integers())


def refusal(check: Any, event: dict[str, Any]) -> tuple[str, str] | None:
    text = msgspec.json.encode(event)
    try:
        check(parse_event(text), ID, RECEIVED_AT_US, len(text))
    except InvalidEvent as fault:
        return fault.text, fault.code
    return None


@given(start=times, end=times, properties=properties, status=st.integers(-1_001, 1_001))
@example(start=LIMIT, end=LIMIT, properties=None, status=0)
@example(start=1.0000004, end=1.0000003, properties=None, status=0)
@example(start=-1e-7, end=1.0, properties=None, status=0)
def test_the_door_and_decoding_refuse_the_same_with_the_same_text(
    start: Any, end: Any, properties: Any, status: int
) -> None:
    event = {"started_at": start, "ended_at": end, "properties": properties, "status": status}
    assert refusal(admit_event, event) == refusal(check_event, event)
