"""The sample sessions are what they promise, and both protocols say the same of them. Pure: no service is asked."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ingest.decode.helicone import Log, check_log, decode_log, parse_log
from ingest.decode.native import check_event, decode_event, parse_event
from ingest.event import NO_BODY, SCHEMA_VERSION, Event, Record, to_us, uuid_time_us
from ingest.samples.logs import helicone_body, helicone_headers, helicone_route, native_event
from ingest.samples.sessions import Call, SampleSession, make_sessions
from ingest.samples.steps import ModelCall

NOW = datetime(2024, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
NAMES = {"Code Generation Assistant", "Pull Request Review", "API Documentation Generator", "Customer Support"}
SESSIONS = make_sessions(NOW)
CALLS = [(session, call) for session in SESSIONS for call in session.calls]


def decode_native(session: SampleSession, call: Call) -> Event:
    sent = native_event(session, call)
    text = msgspec.json.encode(sent)
    received_at_us = to_us(NOW)
    check_event(parse_event(text), call.event_id, received_at_us, len(text))
    request, response = (msgspec.Raw(msgspec.json.encode(sent.pop(side))) for side in ("request", "response"))
    content = msgspec.Raw(msgspec.json.encode(sent))
    return decode_event(
        Record(
            SCHEMA_VERSION,
            "native",
            project_id=1,
            settings_version=1,
            event_id=call.event_id,
            received_at_us=received_at_us,
            content=content,
            session_id=session.session_id,
            request=request,
            response=response,
        )
    )


def decode_helicone(session: SampleSession, call: Call) -> Event:
    log: Log = parse_log(msgspec.json.encode(helicone_body(call)))
    check_log(log, call.event_id, to_us(NOW))
    request, response = log.provider_request.json, log.provider_response.json
    log.provider_request.json = log.provider_response.json = NO_BODY
    provider = {"oai": "OPENAI", "anthropic": "ANTHROPIC", "custom": "CUSTOM"}[helicone_route(call).split("/")[1]]
    return decode_log(
        Record(
            SCHEMA_VERSION,
            f"helicone.{provider}",
            project_id=1,
            settings_version=1,
            event_id=call.event_id,
            received_at_us=to_us(NOW),
            content=msgspec.Raw(msgspec.json.encode(log)),
            session_id=session.session_id,
            headers={name.lower(): value for name, value in helicone_headers(session, call).items()},
            request=request,
            response=response,
        )
    )


def test_the_same_time_gives_the_same_sessions_and_another_time_other_ids() -> None:
    again, later = make_sessions(NOW), make_sessions(NOW + timedelta(seconds=1))

    assert again == SESSIONS
    assert not {session.session_id for session in later} & {session.session_id for session in SESSIONS}
    assert not {call.event_id for session in later for call in session.calls} & {call.event_id for _, call in CALLS}


def test_there_are_several_sessions_of_each_kind_and_several_users() -> None:
    names = [session.name for session in SESSIONS]

    assert set(names) == NAMES
    assert all(names.count(name) >= 3 for name in NAMES)
    assert len({session.user_id for session in SESSIONS}) >= 4
    assert {session.protocol for session in SESSIONS} == {"native", "helicone"}


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.session_id[-6:])
def test_a_session_is_whole(session: SampleSession) -> None:
    starts = [call.started_at for call in session.calls]

    assert 8 <= len(session.calls) <= 25
    assert max(call.step.path.count("/") for call in session.calls) >= 3
    assert starts == sorted(starts)
    assert NOW - timedelta(hours=2) < min(starts)
    assert max(call.ended_at for call in session.calls) <= session.ended_at < NOW


def test_something_fails() -> None:
    failed_calls = [call for _, call in CALLS if call.step.status >= 400]

    assert {call.step.status for call in failed_calls} >= {429, 500, 504}
    assert "failed" in {session.outcome for session in SESSIONS}
    assert any(session.outcome is None and session.calls[-1].step.status >= 400 for session in SESSIONS)


def test_an_event_id_carries_the_start_so_that_a_resend_is_the_same_event() -> None:
    ids = [call.event_id for _, call in CALLS]

    assert len(set(ids)) == len(ids)
    assert all(uuid_time_us(call.event_id) == to_us(call.started_at) for _, call in CALLS)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.session_id[-6:])
def test_both_protocols_say_the_same(session: SampleSession) -> None:
    for call in session.calls:
        native, helicone = decode_native(session, call), decode_helicone(session, call)

        assert facts(native) == facts(helicone)
        assert native.properties.items() <= helicone.properties.items()
        assert (native.prompt_tokens > 0) == (call.first_token_ms is not None)
        if isinstance(call.step, ModelCall) and call.step.status < 400:
            assert native.cache_read_tokens == (call.step.context_tokens if call.step.cached else 0)


def facts(event: Event) -> tuple[object, ...]:
    """Everything that roll-ups are made of."""
    return (
        *(event.session_id, event.session_name, event.path, event.user_id),
        *(event.kind, event.model, event.status, event.is_error, event.error_message),
        *(event.started_at, event.ended_at, event.time_to_first_token_us),
        *(event.prompt_tokens, event.completion_tokens, event.reasoning_tokens),
        *(event.cache_read_tokens, event.cache_write_tokens),
    )
