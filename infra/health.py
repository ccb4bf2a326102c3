"""What a stage needs to be of use, asked by name: the content of `/readyz`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Check = Callable[[], Awaitable[str | None]]
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
        """Run all checks at once; (all is well, the JSON answer)."""
        outcomes = await asyncio.gather(*(_outcome(check) for check in self.checks.values()))
        healthy = all(outcome == "ok" for outcome in outcomes)
        answer: dict[str, object] = {
            "status": "ok" if healthy else "failing",
            "checks": dict(zip(self.checks, outcomes, strict=True)),
        }
        return healthy, answer


async def _outcome(check: Check) -> str:
    try:
        fault = await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:.0f} s"
    except Exception as exc:  # noqa: BLE001 - whatever a check raises is its finding, and the answer reports it
        return f"{type(exc).__name__}: {exc}"
    return "ok" if fault is None else fault
