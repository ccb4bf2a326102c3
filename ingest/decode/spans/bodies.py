"""The two bodies of an event, in the shapes that the log API uses (otlp.md section 11)."""

from typing import Any, NamedTuple

from ingest.decode.spans import body_tables
from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.messages import is_message_list, plain_messages, system_message
from ingest.decode.spans.status import Outcome
from ingest.decode.spans.values import json_text, object_of, parsed_structure

Body = dict[str, Any]


class Step(NamedTuple):
    """What the bodies say of an event beside input and output."""

    kind: str
    name: str
    """Of the tool or the data step."""
    request_model: str | None
    response_model: str | None
    usage: Body | None
    outcome: Outcome


def request_body(step: Step, attributes: Attributes, value: Any) -> Body:
    """The request; `value` is the input, None when it was not captured."""
    match step.kind:
        case "llm":
            return _llm_request(step, attributes, value)
        case "tool":
            return _with("input", value, {"_type": "tool", "toolName": step.name})
        case "vector_db":
            return _vector_request(attributes, value)
    return _with("input", value, {"_type": "data", "name": step.name})


def response_body(step: Step, attributes: Attributes, value: Any) -> Body:
    """The response; `value` is the output, None when it was not captured."""
    match step.kind:
        case "llm":
            body = _llm_response(step, attributes, value)
        case "tool":
            body = _with("output", value, {"_type": "tool", "toolName": step.name})
        case "vector_db":
            results = value if value is None or isinstance(value, list) else [value]
            body = _with("results", results, {"_type": "vector_db"})
        case _:
            status = "error" if step.outcome.is_error else "success"
            body = _with("output", value, {"_type": "data", "name": step.name, "status": status})
    if step.outcome.is_error:
        body = _with_error(step.outcome, body)
    return body


def _with(name: str, value: Any, body: Body) -> Body:
    if value is not None:
        body[name] = value
    return body


def _with_error(outcome: Outcome, body: Body) -> Body:
    """The error beside the rest; what the client's own body has under that name stays, as `output`."""
    error = {"type": outcome.error_type, "message": outcome.error_message, "stacktrace": outcome.stacktrace}
    known = {name: text for name, text in error.items() if text is not None}
    sent = body.get("error")
    if isinstance(sent, dict):
        return {**body, "error": {**known, **sent}}
    return {**({} if sent is None else {"output": {"error": sent}}), **body, "error": known}


def _llm_request(step: Step, attributes: Attributes, value: Any) -> Body:
    instructions = attributes.take(body_tables.SYSTEM_INSTRUCTIONS)
    body: Body = {} if step.request_model is None else {"model": step.request_model}
    if is_message_list(value):
        body["messages"] = plain_messages(value)
    elif isinstance(value, dict):
        body = {**body, **value}
        if is_message_list(body.get("messages")):
            body["messages"] = plain_messages(body["messages"])
    elif value is not None:
        body["input"] = value
    if instructions is not None:
        sent = body.get("messages")
        if sent is None or isinstance(sent, list):
            body["messages"] = [system_message(instructions), *(sent or ())]
        else:
            attributes.used.discard(body_tables.SYSTEM_INSTRUCTIONS)
    if tools := _tools(attributes):
        body.setdefault("tools", tools)
    _add_parameters(body, attributes)
    return body


def _add_parameters(body: Body, attributes: Attributes) -> None:
    prefix = body_tables.REQUEST_PARAMETERS
    for key in [key for key in attributes.values if key.startswith(prefix) and key not in attributes.used]:
        if (value := attributes.peek(key)) is not None:
            _add(body, {key.removeprefix(prefix): value}, key, attributes)
    for key in body_tables.PARAMETER_OBJECTS:
        if key in attributes.values and (parameters := object_of(attributes.values[key])):
            _add(body, parameters, key, attributes)


def _add(body: Body, parameters: Body, key: str, attributes: Attributes) -> None:
    """Add what the body lacks. Where it says something else, the attribute is kept beside it."""
    for name, value in parameters.items():
        body.setdefault(name, value)
    if all(body[name] == value for name, value in parameters.items()):
        attributes.used.add(key)


def _tools(attributes: Attributes) -> list[Any]:
    for name in body_tables.TOOL_LISTS:
        tools = parsed_structure(attributes.values[name]) if name in attributes.values else None
        if isinstance(tools, list):
            attributes.used.add(name)
            return tools
    prefix, part = body_tables.TOOL_SCHEMAS
    schemas = [group.take(part) for group in attributes.indexed(prefix)]
    if tools := [parsed_structure(schema) for schema in schemas if schema is not None]:
        return tools
    prefix, names = body_tables.TOOL_FUNCTIONS
    functions = [
        {name: parsed_structure(value) for name in names if (value := group.take(name)) is not None}
        for group in attributes.indexed(prefix)
    ]
    return [{"type": "function", "function": function} for function in functions if function]


def _llm_response(step: Step, attributes: Attributes, value: Any) -> Body:
    body: Body = {}
    response_id = attributes.take(body_tables.RESPONSE_ID)
    if response_id is not None:
        body["id"] = response_id
    model = step.response_model or step.request_model
    if model is not None:
        body["model"] = model
    if isinstance(value, dict) and "choices" in value:
        body = {**body, **value}
    elif value is not None:
        body["choices"] = _choices(value, attributes)
    if step.usage is not None:
        body.setdefault("usage", step.usage)
    return body


def _choices(value: Any, attributes: Attributes) -> list[Body]:
    if is_message_list(value):
        messages = plain_messages(value)
    elif is_message_list([value]):
        messages = plain_messages([value])
    else:
        messages = [{"role": "assistant", "content": value}]
    reasons = parsed_structure(attributes.take(body_tables.FINISH_REASONS))
    reasons = reasons if isinstance(reasons, list) else [] if reasons is None else [reasons]
    choices = []
    for index, message in enumerate(messages):
        own = message.get("finish_reason")
        choices.append(
            {
                "index": index,
                "finish_reason": reasons[index] if index < len(reasons) else own,
                "message": {name: part for name, part in message.items() if name not in ("finish_reason", "index")},
            }
        )
    return choices


def _vector_request(attributes: Attributes, value: Any) -> Body:
    body: Body = {"_type": "vector_db", "operation": attributes.take(*body_tables.VECTOR_OPERATION) or "search"}
    if value is not None:
        body["text"] = value if isinstance(value, str) else json_text(value)
    body = _with("topK", attributes.take(*body_tables.VECTOR_TOP_K), body)
    return _with("databaseName", attributes.take(*body_tables.VECTOR_DATABASE), body)
