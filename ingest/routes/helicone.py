"""Helicone's log endpoints (ingest.md): unmodified helpers of Helicone log here."""

from collections.abc import Callable

from starlette.types import Scope, Send

from infra.projects import Credential
from ingest.admission import Admission, Headers
from ingest.envelope import helicone_envelope
from ingest.json_text import readable
from ingest.publisher import Publisher
from ingest.routes.answers import ANY_ORIGIN, HeaderList, send_answer, send_json
from ingest.routes.door import Door, wall_clock_us
from ingest.typed_log import typed_fault

PROVIDERS = {
    "/custom/v1/log": "CUSTOM",
    "/oai/v1/log": "OPENAI",
    "/anthropic/v1/log": "ANTHROPIC",
    "/googleapis/v1/log": "GOOGLE",
    "/v1/trace/custom/v1/log": None,
    "/v1/trace/oai/v1/log": "OPENAI",
    "/v1/trace/anthropic/v1/log": "ANTHROPIC",
    "/v1/trace/googleapis/v1/log": "GOOGLE",
    "/v1/trace/custom/log": None,
}
"""Route to the label of its provider; None: the body names it."""

TYPED_LOG_PATH = "/v1/trace/custom/log/typed"
"""Also names its provider in the body, and takes only a log that is complete."""

_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class LogDoor(Door):
    """One log of a request and its response."""

    def __init__(
        self,
        admission: Admission,
        publisher: Publisher,
        *,
        provider: str | None,
        body_bytes_max: int,
        clock_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        super().__init__(admission, publisher, body_bytes_max=body_bytes_max, clock_us=clock_us)
        self._provider = provider

    async def take(self, sender: Credential, headers: Headers, body: bytes, scope: Scope, send: Send) -> None:
        """Publish the log; `ok` means that it is durable."""
        meaning = helicone_headers(scope["headers"])
        envelope = helicone_envelope(readable(body), meaning, self._provider, sender, self.clock_us())
        self.admission.limiter.admit(sender, 1)
        fault = await self.publisher.publish_one(envelope.key, envelope.value)
        if fault is not None:
            raise fault
        helicone_id = (b"helicone-id", envelope.event_id.encode())
        await send_answer(send, 200, [_TEXT, ANY_ORIGIN, helicone_id], b"ok")


class TypedLogDoor(LogDoor):
    """The strict form: what is missing or of the wrong type is listed, all at once. Every other rule is the log's."""

    async def take(self, sender: Credential, headers: Headers, body: bytes, scope: Scope, send: Send) -> None:
        """Publish a log that passes the checks of its form; answer what is wrong with any other."""
        fault = typed_fault(readable(body))
        if fault is None:
            await super().take(sender, headers, body, scope, send)
        else:
            await send_json(send, fault.status, fault.content)


def helicone_headers(headers: HeaderList) -> dict[str, str]:
    """The headers that may have a meaning: stripped, joined when sent twice, without the empty ones."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        if not raw_name.startswith(b"helicone-") and raw_name != b"x-stripe-customer-id":
            continue
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        value = value.strip(" \t").replace("\0", "")
        if value:
            name = raw_name.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found
