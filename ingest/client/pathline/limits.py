"""Every bound of the client, with its default and its reason."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

EVENT_BYTES_MAX = 15 * MIB
"""What the server takes as one event."""

TEXT_BYTES_MAX = 1_024
"""What the server takes as a session id, a path or a name."""

ERROR_MESSAGE_CHARS_MAX = 8_192
"""An exception's text can hold a whole response; its beginning says what happened."""

ANSWER_BYTES_MAX = 4 * MIB
"""An answer names the rejected events only; a longer one is not from a Pathline server."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much waits, how much goes out at once, and for how long anything is waited for."""

    queue_events_max: int = 10_000
    """Events that wait at most; one more is dropped as `queue_full`."""
    queue_bytes_max: int = 64 * MIB
    """The same in bytes: what the copies of their values take."""
    spill_bytes_max: int = 256 * MIB
    """All files in the spill folder together, whoever wrote them. Beyond that events stay in memory."""
    batch_events_max: int = 500
    """Events in one request: enough that a request's own cost does not matter."""
    batch_bytes_max: int = 2 * MIB
    """A batch is closed once it holds so many bytes of JSON. One event may exceed it."""
    batch_age_seconds: float = 0.5
    """How long the first event of a batch waits for others."""
    connect_timeout_seconds: float = 3.0
    """A server that does not answer to a connection in this time is away."""
    read_timeout_seconds: float = 10.0
    """Longer than the server waits for its broker, so that its own answer arrives first."""
    backoff_first_seconds: float = 0.2
    """Mean wait before the first retry is half of this; it doubles with each further one."""
    backoff_max_seconds: float = 30.0
    """Where the doubling ends."""
    retry_after_max_seconds: float = 300.0
    """A longer `Retry-After` is cut to this."""
    exit_timeout_seconds: float = 5.0
    """How long the end of the process waits for what is queued."""

    def __post_init__(self) -> None:
        """Refuse a bound that bounds nothing. Raises ValueError."""
        if wrong := [name for name, value in vars(self).items() if not value > 0]:
            raise ValueError(f"Must be greater than zero: {', '.join(wrong)}")
