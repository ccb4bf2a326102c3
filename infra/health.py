"""What a stage needs to be of use, asked by name: the content of `/readyz`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Degraded:
    """What a check returns when the stage goes on without something: it still promises what it promises, for a time."""

    text: str
    """What is away and what takes its place, in a few words."""


Check = Callable[[], Awaitable["str | Degraded | None"]]
"""Says None when all is well, else what is wrong in a few words; whatever it raises counts as wrong too."""

CHECK_SECONDS = 2.0
"""A check that has not answered by then has failed: whoever asks for readiness does not wait longer either."""


@dataclass
class Health:
    """The named checks of one stage."""

    checks: dict[str, Check] = field(default_factory=dict)

    def add(self, name: str, check: Check) -> None:
        """Register a check under a name that is not taken."""
        if name in self.checks:
            raise ValueError(f"the check {name!r} exists already")
        self.checks[name] = check

    async def report(self) -> tuple[bool, dict[str, object]]:
        """Run all checks at once; (the stage is of use, the JSON answer).

        The status is `ok`, `degraded` (of use all the same) or `failing`.
        """
        outcomes = await asyncio.gather(*(_outcome(check) for check in self.checks.values()))
        failing = any(isinstance(outcome, str) for outcome in outcomes)
        degraded = any(isinstance(outcome, Degraded) for outcome in outcomes)
        answer: dict[str, object] = {
            "status": "failing" if failing else "degraded" if degraded else "ok",
            "checks": {name: _said(outcome) for name, outcome in zip(self.checks, outcomes, strict=True)},
        }
        return not failing, answer


async def _outcome(check: Check) -> str | Degraded | None:
    try:
        return await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:.0f} s"
    except Exception as exc:  # noqa: BLE001 - whatever a check raises is its finding, and the answer reports it
        return f"{type(exc).__name__}: {exc}"


def _said(outcome: str | Degraded | None) -> str:
    if isinstance(outcome, Degraded):
        return f"degraded: {outcome.text}"
    return "ok" if outcome is None else outcome
