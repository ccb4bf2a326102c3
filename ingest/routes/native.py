"""The native doors: `POST /v1/events` and `POST /v1/sessions/{id}/end` (spec: native.md)."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar
from urllib.parse import unquote

import msgspec
from starlette.types import Scope, Send

from infra.projects import Credential
from ingest.admission import Headers
from ingest.decode import native
from ingest.decode.json_faults import UNREADABLE, refusal
from ingest.envelope import NUL_ESCAPE, Envelope, end_envelope, envelope_of, native_envelope
from ingest.errors import PayloadTooLarge, RecordTooLarge
from ingest.event import InvalidEvent
from ingest.json_text import readable
from ingest.routes.answers import ANY_ORIGIN, JSON, send_answer
from ingest.routes.door import Door

EVENTS_MAX = 10_000
"""Events in one body."""
ENCODINGS = (b"gzip", b"zstd")

_HEADERS = [JSON, ANY_ORIGIN]
_ERRORS_ONLY = b"results=errors"
_NDJSON = b"application/x-ndjson"
_LINE = re.compile(rb"\S[^\n]*")
"""A line that is not blank, without the blanks that it begins with."""
_batch_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_ARRAY = ord("[")

Sent = TypeVar("Sent")
Outcome = Envelope | InvalidEvent
"""Of one event of a batch: what is to be published, or why it is refused."""


class EventsDoor(Door):
    """One event, an array of events, or NDJSON."""

    name = "events"
    encodings = ENCODINGS

    async def take(self, sender: Credential, headers: Headers, body: bytes, scope: Scope, send: Send) -> None:
        """Publish the events; 200 says of each whether it is durable."""
        errors_only = _ERRORS_ONLY in scope["query_string"].split(b"&")
        if headers.get(b"content-type", b"").lower().startswith(_NDJSON):
            await self._take_batch(sender, _line_outcomes(_lines(body), sender, self.clock_us()), errors_only, send)
            return
        text = readable(body)
        if text[:1] == b"{" or text.lstrip()[:1] != b"[":
            await self._take_one(sender, native_envelope(text, sender, self.clock_us()), errors_only, send)
            return
        await self._take_batch(sender, _array_outcomes(text, sender, self.clock_us()), errors_only, send)

    async def _take_one(self, sender: Credential, envelope: Envelope, errors_only: bool, send: Send) -> None:
        self.admission.limiter.admit(sender, 1)
        fault = await self.publisher.publish_one(envelope.key, envelope.value)
        if fault is not None:
            raise fault
        self.tally.take(1)
        result = "" if errors_only else _accepted(envelope)
        await send_answer(send, 200, _HEADERS, f'{{"accepted":1,"rejected":0,"results":[{result}]}}'.encode())

    async def _take_batch(self, sender: Credential, outcomes: list[Outcome], errors_only: bool, send: Send) -> None:
        self.admission.limiter.admit(sender, len(outcomes))
        envelopes = [one for one in outcomes if isinstance(one, Envelope)]
        faults = iter(await self.publisher.publish([(one.key, one.value) for one in envelopes]))
        accepted, results = 0, []
        for index, outcome in enumerate(outcomes):
            refused: InvalidEvent | RecordTooLarge
            if isinstance(outcome, InvalidEvent):
                refused = outcome
            else:
                fault = next(faults)
                if fault is None:
                    accepted += 1
                    if not errors_only:
                        results.append(_accepted(outcome))
                    continue
                if not isinstance(fault, RecordTooLarge):
                    # One event that may be lost makes the whole body one to send again.
                    raise fault
                refused = fault
            self.tally.refuse_event(refused.code)
            results.append(_rejected(index, refused))
        self.tally.take(accepted)
        rejected = len(outcomes) - accepted
        body = f'{{"accepted":{accepted},"rejected":{rejected},"results":[{",".join(results)}]}}'
        await send_answer(send, 200, _HEADERS, body.encode())


class SessionEndDoor(Door):
    """The end of one session, whose id is in the path."""

    name = "session_end"
    encodings = ENCODINGS

    async def take(self, sender: Credential, headers: Headers, body: bytes, scope: Scope, send: Send) -> None:
        """Publish the end as an event."""
        session_id = session_id_in(scope["raw_path"])
        envelope = end_envelope(session_id, readable(body), sender, self.clock_us())
        self.admission.limiter.admit(sender, 1)
        fault = await self.publisher.publish_one(envelope.key, envelope.value)
        if fault is not None:
            raise fault
        self.tally.take(1)
        await send_answer(send, 200, _HEADERS, f'{{"event_id":"{envelope.event_id}"}}'.encode())


def session_id_in(raw_path: bytes) -> str:
    """The session id of `/v1/sessions/{id}/end`, percent-decoded once, `%2F` included.

    Raises:
        InvalidEvent: it is not UTF-8.
    """
    try:
        return unquote(raw_path.split(b"/")[3].decode("ascii"), errors="strict")
    except UnicodeDecodeError as fault:
        raise InvalidEvent("Invalid session id: it is not percent-encoded UTF-8", code="invalid_id") from fault


def _items(text: bytes) -> list[msgspec.Raw]:
    try:
        items = _batch_decoder.decode(text)
    except UNREADABLE as fault:
        raise refusal(fault) from fault
    _check_count(len(items))
    return items


def _lines(body: bytes) -> list[tuple[int, bytes]]:
    """The lines that are not blank, each with its number; however many blank ones stand between them."""
    lines, number, counted_to = [], 1, 0
    for found in islice(_LINE.finditer(body), EVENTS_MAX + 1):
        number += body.count(b"\n", counted_to, found.start())
        counted_to = found.start()
        lines.append((number, found[0]))
    _check_count(len(lines))
    return lines


def _check_count(count: int) -> None:
    if count > EVENTS_MAX:
        raise PayloadTooLarge(f"Too many events: at most {EVENTS_MAX} in one body")


def _array_outcomes(text: bytes, sender: Credential, received_at_us: int) -> list[Outcome]:
    """An array of events is parsed at once; only where one of them cannot be, each is parsed on its own."""
    events = None if NUL_ESCAPE in text else native.parse_array(text)
    if events is None:
        return _outcomes(native_envelope, _items(text), sender, received_at_us)
    _check_count(len(events))
    return _outcomes(envelope_of, events, sender, received_at_us)


def _outcomes(
    seal: Callable[[Sent, Credential, int], Envelope], sent: Iterable[Sent], sender: Credential, received_at_us: int
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for one in sent:
        try:
            outcomes.append(seal(one, sender, received_at_us))
        except InvalidEvent as fault:
            outcomes.append(fault)
    return outcomes


def _line_outcomes(lines: Iterable[tuple[int, bytes]], sender: Credential, received_at_us: int) -> list[Outcome]:
    """As `_outcomes`, but each line is a text of its own: a bad one is refused alone, with its number."""
    outcomes: list[Outcome] = []
    for number, line in lines:
        try:
            outcomes.append(native_envelope(readable(line), sender, received_at_us))
        except InvalidEvent as fault:
            outcomes.append(InvalidEvent(f"Line {number}: {fault.text}", code=fault.code))
    return outcomes


def _accepted(envelope: Envelope) -> str:
    return f'{{"event_id":"{envelope.event_id}","status":"accepted"}}'


def _rejected(index: int, fault: InvalidEvent | RecordTooLarge) -> str:
    result = {"index": index, "status": "rejected", "error": fault.text, "code": fault.code}
    return msgspec.json.encode(result).decode()
