"""How each provider's chunks fold into one response object. The form is chosen by the chunks, not by the route.

Chunks are the client's own: every member may be missing or of any type, and a fold never raises for it.
"""

from typing import Any

import msgspec

Chunk = dict[str, Any]


def fold(chunks: list[Any]) -> Chunk | None:
    """The response that the chunks make together, or None when they have no known form."""
    objects = [chunk for chunk in chunks if isinstance(chunk, dict)]
    if len(objects) < len(chunks):
        return None
    for recognise, fold_form in _FORMS:
        if any(recognise(chunk) for chunk in objects):
            return fold_form(objects)
    return None


def _is_chat(chunk: Chunk) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and ("delta" in choice or "text" in choice) for choice in choices
    )


def _fold_chat(chunks: list[Chunk]) -> Chunk:
    """OpenAI chat and completions."""
    folded: Chunk = {}
    choices: dict[int, Chunk] = {}
    usage = None
    for chunk in chunks:
        for key, value in chunk.items():
            # Azure begins with a chunk about its filters, whose id and model are empty.
            if key not in ("choices", "usage") and folded.get(key) in (None, ""):
                folded[key] = value
        x_groq = chunk.get("x_groq")
        usage = chunk.get("usage") or (x_groq.get("usage") if isinstance(x_groq, dict) else None) or usage
        for choice in _objects(chunk.get("choices")):
            index = choice["index"] if isinstance(choice.get("index"), int) else 0
            _add_choice(choices.setdefault(index, {"index": index}), choice)
    for choice in choices.values():
        if "delta" in choice:
            choice["message"] = choice["delta"]
    folded["choices"] = [choices[index] for index in sorted(choices)]
    if usage is not None:
        folded["usage"] = usage
    return folded


def _add_choice(folded: Chunk, choice: Chunk) -> None:
    for key, value in choice.items():
        if key == "text" and isinstance(value, str):
            folded["text"] = _string(folded.get("text")) + value
        elif key == "delta":
            _add_delta(folded.setdefault("delta", {}), _object(value))
        elif value is not None or key not in folded:
            folded[key] = value


def _add_delta(folded: Chunk, delta: Chunk) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            calls = folded.setdefault("tool_calls", [])
            for call in _objects(value):
                _add_tool_call(calls, call)
        elif key == "function_call":
            _add_function(folded.setdefault("function_call", {}), _object(value))
        elif isinstance(value, str) and key != "role" and isinstance(folded.get(key), str):
            folded[key] += value
        elif value is not None or key not in folded:
            folded[key] = value


def _add_tool_call(calls: list[Chunk], call: Chunk) -> None:
    index = call.get("index")
    known = None if index is None else next((one for one in calls if one.get("index") == index), None)
    if known is None:
        calls.append({**call, "function": {**_object(call.get("function"))}})
        return
    for key, value in call.items():
        if key == "function" and isinstance(value, dict):
            _add_function(known.setdefault("function", {}), value)
        elif value is not None:
            known.setdefault(key, value)


def _add_function(folded: Chunk, function: Chunk) -> None:
    for key, value in function.items():
        if key == "arguments" and isinstance(value, str) and isinstance(folded.get(key), str):
            folded[key] += value
        elif value is not None and not folded.get(key):
            folded[key] = value


def _is_responses(chunk: Chunk) -> bool:
    return isinstance(chunk.get("type"), str) and chunk["type"].startswith("response.")


def _fold_responses(chunks: list[Chunk]) -> Chunk | None:
    """OpenAI Responses: the completed response, else the last one seen."""
    last = None
    for chunk in chunks:
        if isinstance(chunk.get("response"), dict):
            last = chunk["response"]
            if chunk.get("type") == "response.completed":
                break
    return last


def _is_anthropic(chunk: Chunk) -> bool:
    kind = chunk.get("type")
    return isinstance(kind, str) and (kind in ("message_start", "message_delta") or kind.startswith("content_block_"))


def _fold_anthropic(chunks: list[Chunk]) -> Chunk:
    message: Chunk = {}
    usage: Chunk = {}
    blocks: dict[Any, Chunk] = {}
    inputs: dict[Any, str] = {}
    for chunk in chunks:
        kind, index = chunk.get("type"), chunk.get("index")
        if kind == "message_start":
            message.update(_object(chunk.get("message")))
            usage.update(_object(message.get("usage")))
        elif kind == "content_block_start" and isinstance(index, int):
            blocks[index] = dict(_object(chunk.get("content_block")))
        elif kind == "content_block_delta" and isinstance(index, int):
            _add_block_delta(blocks.setdefault(index, {}), inputs, index, _object(chunk.get("delta")))
        elif kind == "message_delta":
            message.update(_object(chunk.get("delta")))
            usage.update({key: count for key, count in _object(chunk.get("usage")).items() if count is not None})
    for index, text in inputs.items():
        blocks[index]["input"] = _parsed(text)
    message["content"] = [blocks[index] for index in sorted(blocks)]
    if usage:
        message["usage"] = usage
    return message


_APPENDED = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
}
"""Type of an Anthropic delta: the member that it carries, and the block's member that it extends."""


def _add_block_delta(block: Chunk, inputs: dict[Any, str], index: int, delta: Chunk) -> None:
    kind = delta.get("type")
    if kind == "input_json_delta":
        inputs[index] = inputs.get(index, "") + _string(delta.get("partial_json"))
    elif isinstance(kind, str) and kind in _APPENDED:
        source, target = _APPENDED[kind]
        block[target] = _string(block.get(target)) + _string(delta.get(source))


def _parsed(text: str) -> Any:
    """A tool's input. Cut off, it is no JSON: then its text is what there is."""
    if not text:
        return {}
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text


def _is_google(chunk: Chunk) -> bool:
    return isinstance(chunk.get("candidates"), list)


def _fold_google(chunks: list[Chunk]) -> Chunk:
    folded: Chunk = {}
    candidates: dict[int, Chunk] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if key == "usageMetadata":
                folded[key] = value
            elif key != "candidates":
                folded.setdefault(key, value)
        for position, candidate in enumerate(_objects(chunk.get("candidates"))):
            index = candidate["index"] if isinstance(candidate.get("index"), int) else position
            _add_candidate(candidates.setdefault(index, {}), candidate)
    folded["candidates"] = [candidates[index] for index in sorted(candidates)]
    return folded


def _add_candidate(folded: Chunk, candidate: Chunk) -> None:
    for key, value in candidate.items():
        if key != "content" or not isinstance(value, dict):
            folded[key] = value
            continue
        content = folded.setdefault("content", {**value, "parts": []})
        parts = content.setdefault("parts", []) if isinstance(content, dict) else []
        for part in _objects(value.get("parts")):
            if set(part) == {"text"} and parts and set(parts[-1]) == {"text"}:
                parts[-1]["text"] = _string(parts[-1]["text"]) + _string(part["text"])
            else:
                parts.append(dict(part))


_FORMS = (
    (_is_chat, _fold_chat),
    (_is_responses, _fold_responses),
    (_is_anthropic, _fold_anthropic),
    (_is_google, _fold_google),
)


def _object(value: Any) -> Chunk:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Chunk]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
