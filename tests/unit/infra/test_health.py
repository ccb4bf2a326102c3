"""Goal: readiness names each fault. Method: checks that pass, fail, raise and hang."""

import asyncio

import pytest

from infra import health
from infra.health import Degraded, Health


async def test_all_well_is_ok() -> None:
    checks = Health()

    async def well() -> None:
        return None

    checks.add("broker", well)
    assert await checks.report() == (True, {"status": "ok", "checks": {"broker": "ok"}})


async def test_each_fault_is_named_and_the_others_are_still_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.01)
    checks = Health()

    async def failing() -> str:
        return "no leader"

    async def raising() -> None:
        raise ConnectionRefusedError("port 1")

    async def hanging() -> None:
        await asyncio.Event().wait()

    checks.add("topic", failing)
    checks.add("database", raising)
    checks.add("disk", hanging)
    healthy, answer = await checks.report()
    assert not healthy
    assert answer == {
        "status": "failing",
        "checks": {
            "topic": "no leader",
            "database": "ConnectionRefusedError: port 1",
            "disk": "no answer within 0 s",
        },
    }


async def test_degraded_is_of_use_and_a_fault_beside_it_is_not() -> None:
    checks = Health()

    async def without() -> Degraded:
        return Degraded("the broker is away, the spool takes its place")

    async def failing() -> str:
        return "no leader"

    checks.add("broker", without)
    said = {"broker": "degraded: the broker is away, the spool takes its place"}
    assert await checks.report() == (True, {"status": "degraded", "checks": said})
    checks.add("topic", failing)
    assert await checks.report() == (False, {"status": "failing", "checks": said | {"topic": "no leader"}})


def test_a_name_is_given_once() -> None:
    checks = Health()

    async def well() -> None:
        return None

    checks.add("broker", well)
    with pytest.raises(ValueError, match="exists already"):
        checks.add("broker", well)
