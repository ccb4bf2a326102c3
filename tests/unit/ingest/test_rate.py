"""Goal: a project with a limit sends no more than that in the long run. Method: a clock to turn."""

from dataclasses import replace

import pytest

from infra.project_settings import ProjectSettings
from infra.projects import Credential
from ingest.errors import RateLimited
from ingest.rate import RateLimiter
from tests.unit.ingest.doors import WRITER, make_doors
from tests.unit.ingest.logs import SMALLEST, post


class Clock:
    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def sender_of(limit: int | None, project_id: int = 7) -> Credential:
    return replace(WRITER, project_id=project_id, settings=ProjectSettings(events_per_second_max=limit))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(clock)


def retry_after(limiter: RateLimiter, sender: Credential, events: int) -> int | None:
    """None: it was let in."""
    try:
        limiter.admit(sender, events)
    except RateLimited as fault:
        return fault.retry_after_seconds
    return None


def test_a_project_without_a_limit_is_not_even_counted(limiter: RateLimiter) -> None:
    for _ in range(3):
        limiter.admit(sender_of(None), 10**9)
    assert limiter._buckets == {}


def test_one_seconds_worth_at_once_then_the_rate(limiter: RateLimiter, clock: Clock) -> None:
    sender = sender_of(10)
    assert [retry_after(limiter, sender, 1) for _ in range(11)] == [None] * 10 + [1]
    clock.seconds += 0.2
    assert [retry_after(limiter, sender, 1) for _ in range(3)] == [None, None, 1]
    clock.seconds += 3_600
    assert [retry_after(limiter, sender, 1) for _ in range(11)] == [None] * 10 + [1]


def test_a_batch_larger_than_the_bucket_is_let_in_and_paid_for_afterwards(limiter: RateLimiter, clock: Clock) -> None:
    sender = sender_of(10)
    assert retry_after(limiter, sender, 100) is None
    # 90 in debt: one whole event is there after 9.1 seconds.
    assert retry_after(limiter, sender, 1) == 10
    clock.seconds += 9.0
    assert retry_after(limiter, sender, 100) == 1
    clock.seconds += 0.2
    assert retry_after(limiter, sender, 100) is None


def test_in_the_long_run_the_rate_holds_for_any_batches(limiter: RateLimiter, clock: Clock) -> None:
    sender, let_in = sender_of(50), 0
    for number in range(20_000):
        size = (1, 7, 300, 20)[number % 4]
        if retry_after(limiter, sender, size) is None:
            let_in += size
        clock.seconds += 0.01
    assert 50 * 200 <= let_in <= 50 * 200 + 50 + 300


def test_whoever_comes_back_after_the_time_that_was_said_is_let_in(limiter: RateLimiter, clock: Clock) -> None:
    for limit in (1, 3, 7, 1000):
        sender = sender_of(limit, project_id=limit)
        limiter.admit(sender, 12_345)
        waits = retry_after(limiter, sender, 1)
        assert waits is not None
        clock.seconds += waits
        assert retry_after(limiter, sender, 1) is None


def test_what_was_refused_does_not_count(limiter: RateLimiter, clock: Clock) -> None:
    sender = sender_of(1)
    limiter.admit(sender, 1)
    assert [retry_after(limiter, sender, 1) for _ in range(100)] == [1] * 100
    clock.seconds += 1
    assert retry_after(limiter, sender, 1) is None


def test_projects_do_not_share_a_rate_and_a_new_rate_counts_at_once(limiter: RateLimiter, clock: Clock) -> None:
    limiter.admit(sender_of(1), 50)
    assert retry_after(limiter, sender_of(1), 1) is not None
    assert retry_after(limiter, sender_of(1, project_id=8), 1) is None
    assert retry_after(limiter, sender_of(None), 1) is None
    clock.seconds += 1
    assert retry_after(limiter, sender_of(100), 1) is None


async def test_over_the_rate_is_429_on_every_door() -> None:
    doors = make_doors()
    doors.decide(ProjectSettings(events_per_second_max=1))
    assert (await post(doors, SMALLEST)).status_code == 200
    calls: tuple[tuple[str, object], ...] = (
        ("/custom/v1/log", SMALLEST),
        ("/v1/events", {"kind": "tool"}),
        ("/v1/events", [{}, {}]),
        ("/v1/sessions/s/end", {"outcome": "completed"}),
    )
    for path, body in calls:
        answer = await doors.client.post(path, json=body)
        assert answer.status_code == 429
        assert answer.json() == {"error": "Too many requests, please try again later.", "code": "rate_limited"}
        assert answer.headers["retry-after"] == "1"
    assert len(doors.publisher.published) == 1


async def test_each_event_of_a_batch_counts() -> None:
    doors = make_doors()
    doors.decide(ProjectSettings(events_per_second_max=50))
    assert (await doors.client.post("/v1/events", json=[{}] * 149)).json()["accepted"] == 149
    lines = await doors.client.post("/v1/events", content=b"{}\n{}\n", headers={"Content-Type": "application/x-ndjson"})
    assert (lines.status_code, lines.headers["retry-after"]) == (429, "2")


async def test_what_is_wrong_is_said_first_and_does_not_count() -> None:
    doors = make_doors()
    doors.decide(ProjectSettings(events_per_second_max=1))
    for _ in range(3):
        assert (await post(doors, {})).status_code == 400
    assert (await post(doors, SMALLEST)).status_code == 200
    assert (await post(doors, {})).status_code == 400
