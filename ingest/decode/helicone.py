"""Helicone's async log (ingest.md sections 3 to 10): what a client sends, the checks, what it decodes to. Pure."""

from typing import Any

import msgspec
from asyncpg.pgproto.pgproto import UUID as PostgresUUID

from ingest.decode.cost import nanousd, usage_cost
from ingest.decode.helicone_faults import headers_fault, log_refusal
from ingest.decode.json_faults import UNREADABLE
from ingest.decode.labels import (
    NO_FACTS,
    BodyFacts,
    error_texts,
    fitted,
    fitted_message,
    kind_and_label,
    model_in_url,
    read_facts,
    request_model,
    response_model,
)
from ingest.decode.limits import FUTURE_MAX_US, TIME_TO_FIRST_TOKEN_MS_MAX, check_status, check_text
from ingest.decode.metadata import Metadata, check_metadata, read_metadata
from ingest.decode.streams import DecodedBody, read_chunks, read_text_body
from ingest.decode.times import NotATime, number_us, parts_us, text_us
from ingest.decode.usage import response_tokens, set_tokens
from ingest.event import (
    COST_NANOUSD_MAX,
    NO_BODY,
    Event,
    InvalidEvent,
    Record,
    default_start_us,
    from_us,
    is_error_status,
)

SOURCE_PREFIX = "helicone."


class Moment(msgspec.Struct, rename="camel", gc=False):
    """Unix time in two parts; both may be fractional, and milliseconds may exceed 999."""

    seconds: int | float
    milliseconds: int | float


class Timing(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    start_time: Moment | str
    end_time: Moment | str
    time_to_first_token: msgspec.Raw = NO_BODY


class ProviderRequest(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    url: str
    json: msgspec.Raw = NO_BODY
    meta: dict[str, msgspec.Raw] | None = None


class ProviderResponse(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    status: int | float
    json: msgspec.Raw = NO_BODY
    text_body: msgspec.Raw = NO_BODY
    headers: msgspec.Raw = NO_BODY
    cost: msgspec.Raw = NO_BODY


class Taken(msgspec.Struct, omit_defaults=True, gc=False):
    """What was read from a body at the door before the body was omitted; fields as in `Event`, used as they are."""

    kind: str
    status: int
    is_error: bool
    model: str
    request_model: str | None = None
    response_model: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0
    cost_nanousd: int | None = None
    flags: list[str] = []


class Log(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """One log as it is sent. The record's content is the same without bodies, response headers and idle `meta`."""

    provider_request: ProviderRequest
    provider_response: ProviderResponse
    timing: Timing | None = None
    provider: msgspec.Raw = NO_BODY
    """Means something only on the routes that name no provider; a record has it in its source instead."""
    response_is_text: bool = False
    """Set by the door: the record's response is the JSON string literal of `textBody`, to be read as section 7."""
    taken: Taken | None = None
    """Set by the door, when a side was omitted."""


class Checked(msgspec.Struct, frozen=True, gc=False):
    """What the checks computed on the way."""

    status: int
    start_us: int
    end_us: int
    cost_nanousd: int | None


_decoder = msgspec.json.Decoder(Log)
_any_decoder = msgspec.json.Decoder(Any)
_PROVIDER_DEFAULT = "OPENAI"
_ROOT_COUNTS = (
    "input_tokens",
    "prompt_token_count",
    "generation_token_count",
    "prompt_cache_read_token_count",
    "prompt_cache_write_token_count",
)


def parse_log(text: bytes | msgspec.Raw) -> Log:
    """Read one log's JSON.

    Raises:
        InvalidEvent: not a log; the first fault in the documented order.
    """
    try:
        log = _decoder.decode(text)
    except UNREADABLE as fault:
        raise log_refusal(text, fault) from fault
    if wrong := headers_fault(log.provider_response.headers):
        raise InvalidEvent(wrong, code="invalid_type")
    return log


def provider_label(provider: msgspec.Raw) -> str:
    """The label of the provider that a log names itself, of free choice; the default's when it names none."""
    try:
        name = None if provider is NO_BODY else _any_decoder.decode(provider)
    except UNREADABLE:
        name = None
    label = name.replace("\0", "").strip().upper() if isinstance(name, str) else ""
    return label or _PROVIDER_DEFAULT


def check_log(log: Log, event_id: str, received_at_us: int) -> Checked:
    """Every rule for a log's own fields beside those of its metadata.

    Raises:
        InvalidEvent: the first rule that is broken.
    """
    status = int(log.provider_response.status)
    start_us, end_us = _times(log.timing, event_id, received_at_us)
    check_status(status)
    check_text("url", log.provider_request.url)
    return Checked(status, start_us, end_us, _reported_cost(log.provider_response.cost))


def decode_log(record: Record) -> Event:
    """The event in a record of source `helicone.<PROVIDER>`.

    Raises:
        InvalidEvent: it can never be stored.
    """
    log = parse_log(record.content)
    checked = check_log(log, record.event_id, record.received_at_us)
    metadata = read_metadata(log.provider_request.meta or {}, record.headers)
    check_metadata(metadata)
    check_text("session_id", record.session_id)
    provider = record.source.removeprefix(SOURCE_PREFIX)
    event = Event(
        record.project_id,
        PostgresUUID(record.event_id),
        "llm",
        record.source,
        from_us(checked.start_us),
        from_us(checked.end_us),
        from_us(record.received_at_us),
        checked.status,
    )
    event.provider = provider
    event.session_id = record.session_id or None
    event.target_url = log.provider_request.url
    event.time_to_first_token_us = _first_token_us(log.timing)
    _set_metadata(event, metadata)
    body, response = _response(record, log, checked.status, provider, event.flags)
    if not body.is_received:
        event.decoded_response_body = bytes(body.json).decode()
    if body.is_provider_error:
        event.status = 500
    _set_facts(event, read_facts(record.request, event.flags), response)
    if log.taken is not None:
        for name in Taken.__struct_fields__:
            setattr(event, name, getattr(log.taken, name))
        return event
    event.cost_nanousd = checked.cost_nanousd
    if event.cost_nanousd is None and response.usage is not None:
        event.cost_nanousd = usage_cost(response.usage, event.flags)
    return event


def take(event: Event) -> Taken:
    """What must outlive the bodies that an event was decoded from."""
    return Taken(**{name: getattr(event, name) for name in Taken.__struct_fields__})


def _response(record: Record, log: Log, status: int, provider: str, flags: list[str]) -> tuple[DecodedBody, BodyFacts]:
    """The response body after section 7, and its facts."""
    if log.response_is_text:
        body = read_text_body(record.response, status, provider)
        return body, NO_FACTS if body.is_received else read_facts(body.json, flags)
    facts = read_facts(record.response, flags)
    if facts.streamed_data is not NO_BODY:
        folded = read_chunks(facts.streamed_data, provider)
        if folded is not None:
            return folded, read_facts(folded.json, flags)
    return DecodedBody(record.response, is_received=True), facts


def _set_metadata(event: Event, metadata: Metadata) -> None:
    event.session_name = metadata.session_name
    event.path = metadata.session_path
    event.user_id = metadata.user_id or ""
    event.model_override = metadata.model_override
    event.properties = metadata.properties


def _set_facts(event: Event, request: BodyFacts, response: BodyFacts) -> None:
    flags = event.flags
    event.kind, label = kind_and_label(request, response)
    event.request_model = fitted(request_model(request), flags)
    event.response_model = fitted(response_model(response), flags)
    if event.kind == "llm":
        label = (
            event.model_override
            or event.response_model
            or event.request_model
            or model_in_url(event.target_url)
            or "unknown"
        )
    event.model = fitted(label, flags) or "unknown"
    failed_step = event.kind == "data" and response.type_ == "data" and response.status == "error"
    event.is_error = is_error_status(event.status) or failed_step
    if event.is_error:
        error_type, message = error_texts(response)
        event.error_type, event.error_message = fitted(error_type, flags), fitted_message(message, flags)
    if response is not NO_FACTS:
        set_tokens(event, response_tokens(_usage_root(response), flags))


def _usage_root(response: BodyFacts) -> dict[str, Any]:
    """The members of a response that count tokens, those that are there."""
    root = {"usage": response.usage, "usageMetadata": response.usage_metadata, "name": response.name}
    for name in _ROOT_COUNTS:
        count = getattr(response, name)
        if count is not None:
            root[name] = count
    return root


def _reported_cost(text: msgspec.Raw) -> int | None:
    """`providerResponse.cost` in nano-USD; None unless it is a number of at least 0."""
    usd = _number(text)
    if usd is None or usd < 0:
        return None
    amount = nanousd(usd)
    if amount > COST_NANOUSD_MAX:
        text_max = COST_NANOUSD_MAX // 1_000_000_000
        raise InvalidEvent(f"Invalid cost: more than {text_max} USD", code="invalid_amount")
    return amount


def _first_token_us(timing: Timing | None) -> int | None:
    """Unknown unless it is a number that a request can take."""
    wait_ms = None if timing is None else _number(timing.time_to_first_token)
    if wait_ms is None or not 0 <= wait_ms <= TIME_TO_FIRST_TOKEN_MS_MAX:
        return None
    return number_us(wait_ms, 1_000)


def _number(text: msgspec.Raw) -> float | None:
    if text is NO_BODY:
        return None
    try:
        value = _any_decoder.decode(text)
    except UNREADABLE:
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _times(timing: Timing | None, event_id: str, received_at_us: int) -> tuple[int, int]:
    if timing is None:
        start_us = default_start_us(event_id, received_at_us)
        return start_us, start_us
    start_us, end_us = _moment_us(timing.start_time), _moment_us(timing.end_time)
    if start_us > end_us:
        raise InvalidEvent("startTime cannot be greater than endTime", code="invalid_time")
    if start_us < 0:
        raise InvalidEvent("startTime and endTime cannot be negative", code="invalid_time")
    for name, us in (("startTime", start_us), ("endTime", end_us)):
        if us > received_at_us + FUTURE_MAX_US:
            raise InvalidEvent(f"Invalid timing: '{name}' is in the future", code="invalid_time")
    return start_us, end_us


def _moment_us(moment: Moment | str) -> int:
    if isinstance(moment, Moment):
        return parts_us(moment.seconds, moment.milliseconds)
    try:
        return text_us(moment)
    except NotATime as fault:
        raise InvalidEvent("Invalid timing structure or value type", code="invalid_time") from fault
