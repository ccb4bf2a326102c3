"""Kind, model label and error of a Helicone event, from the few members of its bodies that say so (section 9)."""

import re
from typing import Any

import msgspec

from ingest.event import NO_BODY, PROPERTY_VALUE_BYTES_MAX, TEXT_BYTES_MAX

TYPED_KINDS = ("tool", "vector_db", "data")

_MODEL_IN_URL = re.compile(r"/engines/([^/?#]+)|models/([^/:?#]+)|/model/([^/?#]+)")


class BodyFacts(msgspec.Struct, gc=False):
    """The members of a body that decide anything. The rest is skipped, not parsed.

    Everything is `Any`: a body is the client's own and may hold any type anywhere.
    """

    type_: Any = msgspec.field(default=None, name="_type")
    tool_name: Any = msgspec.field(default=None, name="toolName")
    name: Any = None
    model: Any = None
    model_version: Any = msgspec.field(default=None, name="modelVersion")
    body: msgspec.Raw = NO_BODY
    provider_metadata: Any = msgspec.field(default=None, name="providerMetadata")
    status: Any = None
    message: Any = None
    error: Any = None
    usage: Any = None
    usage_metadata: Any = msgspec.field(default=None, name="usageMetadata")
    input_tokens: Any = None
    prompt_token_count: Any = None
    generation_token_count: Any = None
    prompt_cache_read_token_count: Any = None
    prompt_cache_write_token_count: Any = None
    streamed_data: msgspec.Raw = NO_BODY


class _Inner(msgspec.Struct, gc=False):
    model: Any = None
    model_version: Any = msgspec.field(default=None, name="modelVersion")


NO_FACTS = BodyFacts()
OBJECT, _ARRAY = b"{["
_facts_decoder = msgspec.json.Decoder(BodyFacts)
_inner_decoder = msgspec.json.Decoder(_Inner)
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def read_facts(body: bytes | msgspec.Raw, flags: list[str]) -> BodyFacts:
    """The facts of a body; none for a body that is not an object.

    Of an array (Gemini without SSE) the first item that has `usageMetadata` counts. A number that no machine
    holds, where a fact is expected, costs the facts and is flagged `facts_unreadable`; never the event.
    """
    first = first_byte(body)
    try:
        if first == OBJECT:
            return _facts_decoder.decode(body)
        if first == _ARRAY and b'"usageMetadata"' in bytes(body):
            for item in _items_decoder.decode(body):
                if first_byte(item) == OBJECT:
                    facts = _facts_decoder.decode(item)
                    if facts.usage_metadata is not None:
                        return facts
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        flags.append("facts_unreadable")
    return NO_FACTS


def first_byte(text: bytes | msgspec.Raw) -> int:
    """What a JSON text is, by its first byte; 0 when it is empty."""
    view = memoryview(text)
    return view[0] if view.nbytes else 0


def kind_and_label(request: BodyFacts, response: BodyFacts) -> tuple[str, str]:
    """Kind and model label by `_type`; the label of an `llm` event is left to `model_of`."""
    typed, other = (response, request) if response.type_ in TYPED_KINDS else (request, response)
    if typed.type_ == "tool":
        return "tool", f"tool:{_name(typed.tool_name, other.tool_name)}"
    if typed.type_ == "data":
        return "data", f"data:{_name(typed.name, other.name)}"
    if typed.type_ == "vector_db":
        return "vector_db", "vector_db"
    return "llm", ""


def response_model(facts: BodyFacts) -> str | None:
    """The model that a response names, first non-empty text."""
    if _is_text(facts.model):
        return str(facts.model)
    if first_byte(facts.body) == OBJECT:
        try:
            inner = _inner_decoder.decode(facts.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            inner = _Inner()
        for model in (inner.model, inner.model_version):
            if _is_text(model):
                return str(model)
    if _is_text(facts.model_version):
        return str(facts.model_version)
    model = facts.provider_metadata
    for key in ("gateway", "routing", "originalModelId"):
        model = model.get(key) if isinstance(model, dict) else None
    return str(model) if _is_text(model) else None


def request_model(facts: BodyFacts) -> str | None:
    """The model that a request asks for."""
    return str(facts.model) if _is_text(facts.model) else None


def model_in_url(url: str) -> str | None:
    """The model in a provider's address, where it has one."""
    found = _MODEL_IN_URL.search(url)
    return next(filter(None, found.groups()), None) if found else None


def error_texts(response: BodyFacts) -> tuple[str | None, str | None]:
    """Type and message of the error that a response reports."""
    error = response.error
    if isinstance(error, dict):
        kind, message = error.get("type") or error.get("code"), error.get("message")
        return (kind if _is_text(kind) else None), (message if _is_text(message) else None)
    for message in (error, response.message):
        if _is_text(message):
            return None, str(message)
    return None, None


def fitted(text: str | None, flags: list[str], bytes_max: int = TEXT_BYTES_MAX) -> str | None:
    """A text out of a body, made fit for a column: without U+0000, and cut and flagged when it is too long.

    The body itself is kept whole.
    """
    if not text:
        return None
    text = text.replace("\0", "")
    if len(text) * 4 > bytes_max and len(text.encode()) > bytes_max:
        flags.append("text_cut")
        return text.encode()[:bytes_max].decode(errors="ignore")
    return text


def fitted_message(text: str | None, flags: list[str]) -> str | None:
    """An error's message, which may be long."""
    return fitted(text, flags, PROPERTY_VALUE_BYTES_MAX)


def _name(own: Any, other: Any) -> str:
    return next((name for name in (own, other) if _is_text(name)), "unknown")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
