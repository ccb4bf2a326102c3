"""Messages in one shape, that of OpenAI's chat API, whichever convention wrote them (otlp.md section 11)."""

from collections.abc import Sequence
from typing import Any

from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.values import json_text, parsed, parsed_structure

Message = dict[str, Any]
_TEXT, _CALL, _ANSWER, _REASONING = "text", "tool_call", "tool_call_response", "reasoning"


def is_message_list(value: Any) -> bool:
    """Whether a value is a list of messages: objects with a role."""
    return isinstance(value, list) and bool(value) and all(_is_message(item) for item in value)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def plain_messages(messages: Sequence[Any]) -> list[Message]:
    """Messages with GenAI's parts turned into content and tool calls; others stay as they are."""
    plain = []
    for message in messages:
        if isinstance(message.get("parts"), list):
            plain.extend(_from_parts(message))
        else:
            plain.append(message)
    return plain


def system_message(instructions: Any) -> Message:
    """The leading message that system instructions become: a text, or parts."""
    instructions = parsed_structure(instructions)
    if isinstance(instructions, list):
        made = _from_parts({"role": "system", "parts": instructions})
        return made[0] if made else {"role": "system", "content": ""}
    return {"role": "system", "content": instructions}


def _from_parts(message: Message) -> list[Message]:
    """One message, and before it a `tool` message for each answer of a tool among its parts."""
    made = {name: value for name, value in message.items() if name != "parts"}
    content: list[Any] = []
    calls: list[Message] = []
    answers: list[Message] = []
    reasoning: list[Any] = []
    for part in message["parts"]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == _CALL:
            calls.append(tool_call(part.get("id"), part.get("name"), part.get("arguments")))
        elif kind == _ANSWER:
            answer = part["response"] if "response" in part else part.get("result")
            answers.append({"role": "tool", "tool_call_id": part.get("id"), "content": _as_text(answer)})
        elif kind == _REASONING:
            reasoning.append(part.get("content"))
        else:
            content.append(part)
    if reasoning:
        made["reasoning"] = _joined(reasoning)
    if calls:
        made["tool_calls"] = calls
    if content or not answers or calls or reasoning:
        made["content"] = _content_of(content)
        return [*answers, made]
    return answers


def _content_of(parts: list[Any]) -> Any:
    """Parts that are all text become one text; nothing becomes null; else the list stays."""
    if not parts:
        return None
    if all(isinstance(part, dict) and part.get("type") == _TEXT and "content" in part for part in parts):
        return _joined([part["content"] for part in parts])
    return parts


def _joined(texts: list[Any]) -> str:
    return "\n".join(_as_text(text) for text in texts)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json_text(value)


def tool_call(call_id: Any, name: Any, arguments: Any) -> Message:
    """A call in OpenAI's shape, whose arguments are JSON text."""
    call = {"type": "function", "function": {"name": name, "arguments": _as_text(arguments)}}
    return call if call_id is None else {"id": call_id, **call}


def openinference_messages(groups: list[Attributes]) -> list[Message]:
    """Messages out of `llm.input_messages.N.message.…`."""
    messages = []
    for group in groups:
        message = _taken(group, "message.", ("role", "name", "tool_call_id"))
        content: Any = group.take("message.content")
        contents = [_openinference_content(part) for part in group.indexed("message.contents")]
        if contents:
            content = [{"type": "text", "text": content}, *contents] if content else contents
        calls = [
            tool_call(
                call.take("tool_call.id"),
                call.take("tool_call.function.name"),
                call.take("tool_call.function.arguments"),
            )
            for call in group.indexed("message.tool_calls")
        ]
        messages.append(_message(message, content, calls))
    return messages


def _openinference_content(part: Attributes) -> Message:
    return _taken(part, "message_content.", ("type", "text"))


def openllmetry_messages(groups: list[Attributes]) -> list[Message]:
    """Messages out of `gen_ai.prompt.N.…` and `gen_ai.completion.N.…`; the content may be a list as JSON text."""
    messages = []
    for group in groups:
        message = _taken(group, "", ("role", "tool_call_id", "finish_reason"))
        content = group.take("content")
        structure = parsed(content)
        calls = [
            tool_call(call.take("id"), call.take("name"), call.take("arguments"))
            for call in group.indexed("tool_calls")
        ]
        messages.append(_message(message, structure if isinstance(structure, list) else content, calls))
    return messages


def event_message(role: str, attributes: dict[str, Any]) -> Message:
    """The message in a span event `gen_ai.….message` or `gen_ai.choice`, whose attributes are its members."""
    members = {name: parsed_structure(value) for name, value in attributes.items()}
    inner = members.pop("message", None)
    if isinstance(inner, dict):
        members = {**members, **inner}
    elif inner is not None:
        members.setdefault("content", inner)
    members.setdefault("role", role)
    return members


def _taken(group: Attributes, prefix: str, names: tuple[str, ...]) -> Message:
    return {name: value for name in names if (value := group.take(prefix + name)) is not None}


def _message(message: Message, content: Any, calls: list[Message]) -> Message:
    message["content"] = content
    if calls:
        message["tool_calls"] = calls
    return message
