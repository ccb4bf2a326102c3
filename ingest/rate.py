"""The rate limit of a project: how many events a second it may send to this process."""

import math
import time
from collections.abc import Callable

from infra.projects import Credential
from ingest.errors import RateLimited


class RateLimiter:
    """One bucket of tokens a project that has a limit; nothing is kept or counted for the others.

    A bucket fills with the limit a second and holds one second's worth. Whoever finds a token in it may take more than
    there are: the debt delays what comes after, so in the long run the limit holds, and a batch that is larger than the
    bucket can still be sent. The limit is for each ingest process: processes do not ask one another.
    """

    def __init__(self, clock_seconds: Callable[[], float] = time.monotonic) -> None:
        self._clock_seconds = clock_seconds
        #: Project -> tokens, negative while in debt, and the clock when that was so.
        self._buckets: dict[int, tuple[float, float]] = {}

    def admit(self, sender: Credential, events: int) -> None:
        """Count events of the sender's project.

        Raises:
            RateLimited: the project is over its rate; nothing was counted.
        """
        events_per_second_max = sender.settings.events_per_second_max
        if events_per_second_max is not None:
            self._take(sender.project_id, events, events_per_second_max)

    def _take(self, project_id: int, events: int, events_per_second_max: int) -> None:
        now = self._clock_seconds()
        tokens, at = self._buckets.get(project_id, (float(events_per_second_max), now))
        tokens = min(tokens + (now - at) * events_per_second_max, events_per_second_max)
        if tokens < 1:
            self._buckets[project_id] = (tokens, now)
            raise RateLimited(retry_after_seconds=max(1, math.ceil((1 - tokens) / events_per_second_max)))
        self._buckets[project_id] = (tokens - events, now)
