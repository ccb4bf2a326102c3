"""The sample sessions: who did what, when, with which ids. Pure: the same time and seed give the same sessions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal
from uuid import UUID

from ingest.samples.api_documentation import SERVICES, document
from ingest.samples.bodies import Message, make_bodies
from ingest.samples.code_generation import TASKS, generate_code
from ingest.samples.customer_support import CONVERSATIONS, support
from ingest.samples.pull_request_review import PULL_REQUESTS, review
from ingest.samples.steps import ModelCall, Step

SEED = 20_240_229
"""Decides every figure of the sample; any number would do."""

PAUSE_SECONDS = (0.05, 0.6)
"""What an agent's own code takes between two steps."""

Protocol = Literal["native", "helicone"]
Outcome = Literal["completed", "failed"]


@dataclass(frozen=True, slots=True)
class Call:
    """One logged step."""

    event_id: str
    step: Step
    started_at: datetime
    ended_at: datetime
    first_token_ms: int | None
    request: dict[str, Any]
    response: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SampleSession:
    """One session with all its calls, in the order of their start."""

    session_id: str
    name: str
    user_id: str
    properties: dict[str, str]
    protocol: Protocol
    calls: tuple[Call, ...]
    outcome: Outcome | None
    """How it is declared ended; None: nobody says."""
    reason: str | None
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Chance:
    """Two generators: every run has the same figures, and ids of its own."""

    figures: Random
    ids: Random


@dataclass(frozen=True, slots=True)
class Plan:
    """One session before it has times and ids."""

    name: str
    steps: Iterable[Step]
    user_id: str
    minutes_ago: float
    outcome: Outcome | None = "completed"
    reason: str | None = None
    environment: str = "production"


def make_sessions(now: datetime, seed: int = SEED) -> list[SampleSession]:
    """All sample sessions, oldest first, ended before `now`. Ids depend on `now`: another run logs other sessions."""
    chance = Chance(Random(seed), Random(f"{seed} {now.timestamp()}"))  # noqa: S311 - nothing here is a secret
    plans = sorted(_plans(), key=lambda plan: -plan.minutes_ago)
    return [_make_session(plan, place, now, chance) for place, plan in enumerate(plans)]


def _plans() -> list[Plan]:
    code = [("mara", 112), ("jonas", 83), ("mara", 47), ("li.wei", 16)]
    reviews = [("ci-bot", 98), ("ci-bot", 71), ("jonas", 33), ("ci-bot", 20)]
    pages = [("docs-bot", 105), ("docs-bot", 60), ("li.wei", 26)]
    tickets = [("customer-2041", 90), ("customer-1187", 54), ("customer-3310", 38), ("customer-0772", 6)]
    plans = [
        Plan("Code Generation Assistant", generate_code(task), user, minutes, environment="development")
        for task, (user, minutes) in zip(TASKS, code, strict=True)
    ]
    for change, (user, minutes) in zip(PULL_REQUESTS, reviews, strict=True):
        works = change.pipeline_works
        outcome: Outcome = "completed" if works else "failed"
        reason = None if works else "the pipeline never started"
        plans.append(Plan("Pull Request Review", review(change), user, minutes, outcome, reason))
    for service, (user, minutes) in zip(SERVICES, pages, strict=True):
        # A program that ends with an error and says nothing: its last event tells that it failed, after a while.
        outcome_or_none: Outcome | None = "completed" if service.publishes else None
        plans.append(Plan("API Documentation Generator", document(service), user, minutes, outcome_or_none))
    for conversation, (user, minutes) in zip(CONVERSATIONS, tickets, strict=True):
        outcome_or_none = "completed" if conversation.closes_ticket else None
        plans.append(Plan("Customer Support", support(conversation), user, minutes, outcome_or_none))
    return plans


def _make_session(plan: Plan, place: int, now: datetime, chance: Chance) -> SampleSession:
    at = now - timedelta(minutes=plan.minutes_ago)
    session_id = make_id(at, chance.ids)
    calls: list[Call] = []
    history: list[Message] = []
    begins, ends = at, at
    for step in plan.steps:
        if not step.together:
            begins = ends + timedelta(seconds=chance.figures.uniform(*PAUSE_SECONDS))
        call = _make_call(step, begins, history, chance)
        ends = max(ends, call.ended_at)
        calls.append(call)
    return SampleSession(
        session_id=session_id,
        name=plan.name,
        user_id=plan.user_id,
        properties={"environment": plan.environment, "product": plan.name.split()[0].lower(), "release": "2024.2"},
        protocol="native" if place % 2 else "helicone",
        calls=tuple(calls),
        outcome=plan.outcome,
        reason=plan.reason,
        ended_at=ends,
    )


def _make_call(step: Step, began: datetime, history: list[Message], chance: Chance) -> Call:
    dice = chance.figures
    # Whole milliseconds: Helicone's format has no finer ones.
    started_at = began.replace(microsecond=began.microsecond // 1_000 * 1_000)
    took_ms = max(1, round(step.seconds * 1_000 * dice.uniform(0.7, 1.4)))
    waits = isinstance(step, ModelCall) and step.status < 400
    first_token_ms = max(1, round(took_ms * dice.uniform(0.1, 0.3))) if waits else None
    event_id = make_id(started_at, chance.ids)
    request, response = make_bodies(step, history, dice)
    ended_at = started_at + timedelta(milliseconds=took_ms)
    return Call(event_id, step, started_at, ended_at, first_token_ms, request, response)


def make_id(at: datetime, dice: Random) -> str:
    """A UUIDv7 whose time is `at`: an event sent twice is known by it, and by its day."""
    number = round(at.timestamp() * 1_000) << 80 | dice.getrandbits(80)
    number = number & ~(0xF << 76) | 7 << 76
    return str(UUID(int=number & ~(0b11 << 62) | 0b10 << 62))
