"""What every door does: know the sender, read the body, and answer every refusal in one shape.

A door is a raw ASGI callable. On the way of every single event a request object and a middleware stack would cost
more than the event itself.
"""

import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import structlog
from starlette.types import Receive, Scope, Send

from infra.projects import Credential
from ingest.admission import GZIP_ONLY, Admission, ClientGone, Headers, headers_of
from ingest.errors import IngestError, InternalError, PublishError
from ingest.event import InvalidEvent
from ingest.metrics import DoorTally
from ingest.publisher import Publisher
from ingest.routes.answers import Fault, send_fault

log = structlog.get_logger()


def wall_clock_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000


class Door:
    """Base of the doors. A subclass implements `take`, which answers a good request and raises for a bad one."""

    name = "door"
    """What its metrics are called."""
    encodings: Sequence[bytes] = GZIP_ONLY
    """The Content-Encodings that its bodies may have."""

    def __init__(
        self,
        admission: Admission,
        publisher: Publisher,
        *,
        body_bytes_max: int,
        clock_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        self.admission = admission
        self.publisher = publisher
        self.body_bytes_max = body_bytes_max
        self.clock_us = clock_us
        self.tally = DoorTally()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        try:
            sender = self.admission.known_writer(headers, scope) or await self.admission.writer(headers, scope)
            body = await self.admission.read_body(headers, receive, self.body_bytes_max, self.encodings)
            await self.take(sender, headers, body, scope, send)
        except (IngestError, InvalidEvent) as fault:
            if isinstance(fault, InvalidEvent | PublishError):
                self.tally.refuse_event(fault.code)
            await self.refuse(headers, send, fault)
        except ClientGone:
            self.tally.give_up("client_gone")
        except Exception:
            correlation_id = str(uuid4())
            log.exception("internal_error", id=correlation_id)
            await self.refuse(headers, send, InternalError(correlation_id))

    async def take(self, sender: Credential, headers: Headers, body: bytes, scope: Scope, send: Send) -> None:
        """Publish what is in the body, tell the tally and answer, or raise `IngestError` or `InvalidEvent`."""
        raise NotImplementedError

    async def refuse(self, headers: Headers, send: Send, fault: Fault) -> None:
        """Count a fault and answer it."""
        self.tally.refuse(fault.status, fault.code)
        await self.answer_fault(headers, send, fault)

    async def answer_fault(self, headers: Headers, send: Send, fault: Fault) -> None:
        """A door whose clients read another shape than ours overrides this."""
        await send_fault(send, fault)
