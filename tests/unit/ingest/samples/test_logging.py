"""How the samples behave against services that answer, refuse, or are away: a scripted HTTP server on this machine."""

from contextlib import closing

import pytest

from ingest.samples.__main__ import main
from ingest.samples.errors import SamplesFailed
from ingest.samples.http_client import HttpClient
from ingest.samples.logs import log_session
from ingest.samples.sessions import make_sessions
from ingest.samples.table import await_sessions, make_table
from tests.services import free_ports
from tests.unit.ingest.samples.scripted_server import Answer, served
from tests.unit.ingest.samples.test_sessions import NOW


def test_a_service_that_is_busy_is_asked_again() -> None:
    answers: list[Answer] = [(200, "ok"), (503, {"error": "Event not stored, try again"})]

    with served(lambda *_: answers.pop(), {"Retry-After": "0"}) as url, closing(HttpClient(url, "key")) as client:
        assert client.post("/v1/events", []) == '"ok"'
    assert answers == []


def test_a_refusal_is_told_with_its_text() -> None:
    def refuse(*_: object) -> Answer:
        return 401, {"error": "No API key found"}

    refusal = r"POST http://.*/v1/events was answered 401: .*No API key found"
    with served(refuse) as url, closing(HttpClient(url, "key")) as client, pytest.raises(SamplesFailed, match=refusal):
        client.post("/v1/events", [])


def test_a_batch_with_a_rejected_event_fails() -> None:
    session = next(session for session in make_sessions(NOW) if session.protocol == "native")
    result = {"index": 3, "status": "rejected", "error": "Unknown field 'x'"}

    def reject(*_: object) -> Answer:
        return 200, {"accepted": len(session.calls) - 1, "rejected": 1, "results": [result]}

    with (
        served(reject) as url,
        closing(HttpClient(url, "key")) as client,
        pytest.raises(SamplesFailed, match="Unknown field 'x'"),
    ):
        log_session(client, session)


@pytest.mark.parametrize("address", ["nonsense", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SamplesFailed, match="not an address"):
        HttpClient(address, "key")


def test_a_service_that_is_away_ends_the_command_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"

    assert main(["--ingest", url, "--query", url, "--key", "key"]) == 1
    assert f"{url} does not answer" in capsys.readouterr().err


def test_sessions_that_stay_incomplete_are_counted_in_the_error() -> None:
    sessions = make_sessions(NOW)[:3]

    def show(_: str, path: str, __: object) -> Answer:
        if path.endswith(sessions[0].session_id):
            return 200, {"data": {"event_count": 100}}
        if path.endswith(sessions[1].session_id):
            return 200, {"data": {"event_count": 1}}
        return 404, {"error": "Session not found"}

    with (
        served(show) as url,
        closing(HttpClient(url, "key")) as query,
        pytest.raises(SamplesFailed, match="2 of 3 sessions are not complete"),
    ):
        await_sessions(query, sessions, seconds_max=0.3)


def test_the_table_has_a_row_for_each_session() -> None:
    names = ("prompt", "prompt_cache_read", "prompt_cache_write", "completion")
    row = {
        "name": "Customer Support",
        "session_id": "018df8a2-0000-7000-8000-0123456789ab",
        "status": "failed",
        "user_ids": ["a", "b"],
        "request_count": 9,
        "error_count": 1,
        "duration_ms": 12_340,
        "first_event_at": "2024-03-01T12:00:00Z",
        "reasoning_tokens": 1_000,
        **{f"{name}_tokens": 100 for name in names},
    }

    table = make_table([row, {**row, "first_event_at": "2024-03-01T13:00:00Z", "name": "later"}])

    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["later", "Customer Support"]
    assert [column[1] for column in cells[1:]] == [
        *("…456789ab", "[red]failed[/]", "a, b"),
        *("9", "1", "1,400", "12.3 s"),
    ]
