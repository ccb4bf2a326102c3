"""Request and response bodies as the providers and Helicone's helpers shape them. Pure."""

from random import Random
from typing import Any

from ingest.samples.steps import DataStep, ModelCall, Step, ToolCall, VectorSearch

CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for English; the sample only has to look right."""

SYSTEM_PROMPT = "You are a careful assistant. Answer briefly and say so when you do not know."

Message = dict[str, Any]
Bodies = tuple[dict[str, Any], dict[str, Any]]


def make_bodies(step: Step, history: list[Message], dice: Random) -> Bodies:
    """The request and response of a step. A step of a thread reads `history` and adds its own two messages."""
    match step:
        case ModelCall():
            return _model_call(step, history, dice)
        case ToolCall():
            request = {"_type": "tool", "toolName": step.tool, "input": dict(step.arguments)}
            return request, {"_type": "tool", "toolName": step.tool, **step.result}
        case VectorSearch():
            return _vector_search(step, dice)
        case DataStep():
            request = {"_type": "data", "name": step.name, "meta": dict(step.meta)}
            return request, {"_type": "data", "name": step.name, "status": "success", "message": step.message}
    raise TypeError(f"no bodies for a {type(step).__name__}")


def is_claude(model: str) -> bool:
    """Whether the model is one of Anthropic's; the samples know no third provider."""
    return model.startswith("claude")


def error_text(step: Step, response: dict[str, Any]) -> str | None:
    """What the response of a failed step says; None when the step did not fail."""
    if step.status < 400:
        return None
    return str(response["error"]["message"] if isinstance(step, ModelCall) else response["message"])


def _model_call(step: ModelCall, history: list[Message], dice: Random) -> Bodies:
    question = {"role": "user", "content": step.prompt}
    messages = [*history, question] if step.thread else [question]
    if is_claude(step.model):
        request = {"model": step.model, "max_tokens": 2_048, "system": SYSTEM_PROMPT, "messages": messages}
    else:
        spoken = [{"role": "system", "content": SYSTEM_PROMPT}, *messages]
        request = {"model": step.model, "messages": spoken, "temperature": 0.2}
    if step.status >= 400:
        return request, _refusal(step)
    if step.thread:
        history += [question, {"role": "assistant", "content": step.reply}]
    asked = _tokens(SYSTEM_PROMPT, *(str(message["content"]) for message in messages))
    answered = _tokens(step.reply) + dice.randrange(20, 120)
    answer = _anthropic_message if is_claude(step.model) else _openai_completion
    return request, answer(step, asked, answered, dice)


def _openai_completion(step: ModelCall, asked: int, answered: int, dice: Random) -> dict[str, Any]:
    prompt = asked + step.context_tokens
    reasoning = 16 * dice.randrange(8, 60) if step.model.startswith("o") else 0
    return {
        "id": f"chatcmpl-{dice.randbytes(12).hex()}",
        "object": "chat.completion",
        "model": step.model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": step.reply}, "finish_reason": "stop"},
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": answered + reasoning,
            "total_tokens": prompt + answered + reasoning,
            "prompt_tokens_details": {"cached_tokens": step.context_tokens if step.cached else 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        },
    }


def _anthropic_message(step: ModelCall, asked: int, answered: int, dice: Random) -> dict[str, Any]:
    return {
        "id": f"msg_{dice.randbytes(12).hex()}",
        "type": "message",
        "role": "assistant",
        "model": step.model,
        "content": [{"type": "text", "text": step.reply}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": asked + (0 if step.cached else step.context_tokens),
            "output_tokens": answered,
            "cache_read_input_tokens": step.context_tokens if step.cached else 0,
            "cache_creation_input_tokens": 0,
        },
    }


def _refusal(step: ModelCall) -> dict[str, Any]:
    name = "rate_limit_error" if step.status == 429 else "server_error"
    fault = {"type": name, "message": step.reply}
    return {"type": "error", "error": fault} if is_claude(step.model) else {"error": {**fault, "code": None}}


def _vector_search(step: VectorSearch, dice: Random) -> Bodies:
    request = {
        "_type": "vector_db",
        "operation": "search",
        "text": step.text,
        "topK": len(step.matches),
        "databaseName": step.database,
    }
    scores = sorted((round(dice.uniform(0.62, 0.94), 3) for _ in step.matches), reverse=True)
    found = [{"id": match, "score": score} for match, score in zip(step.matches, scores, strict=True)]
    return request, {"_type": "vector_db", "status": "success", "matches": found, "actualSimilarity": scores[0]}


def _tokens(*texts: str) -> int:
    return sum(len(text) for text in texts) // CHARACTERS_PER_TOKEN + 4 * len(texts)
