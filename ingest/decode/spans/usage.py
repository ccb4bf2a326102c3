"""Tokens, cost and time to first token of a span (otlp.md section 9)."""

from typing import Any, NamedTuple

from ingest.decode.cost import nanousd
from ingest.decode.limits import TIME_TO_FIRST_TOKEN_MS_MAX
from ingest.decode.spans.attributes import Attributes
from ingest.decode.spans.usage_tables import COUNTS, FAMILIES, FAMILY_OF, Family
from ingest.decode.spans.values import number_of, object_of, parsed
from ingest.decode.times import NotATime, iso_us, number_us
from ingest.decode.usage import Tokens
from ingest.event import COST_NANOUSD_MAX, TOKENS_MAX

_QUOTES_MAX = 2


class Counts(NamedTuple):
    """What a span reports, before anything is subtracted; `found` has only the counts that are there."""

    found: dict[str, int]
    is_disjoint: bool
    used: frozenset[str]
    """The attributes that were read and say nothing else; JSON may say more and stays in the body."""

    @property
    def reports_usage(self) -> bool:
        """Whether there is an input or output count above 0."""
        return bool(self.found.get("input") or self.found.get("output"))


NO_COUNTS = Counts({}, False, frozenset())


def read_counts(attributes: Attributes) -> Counts:
    """The counts of the first family with an input or output; what it lacks is taken from the next ones."""
    present = {FAMILY_OF[name] for name in FAMILY_OF.keys() & attributes.values.keys()}
    if not present:
        return NO_COUNTS
    found: dict[str, int] = {}
    used: set[str] = set()
    base: Family | None = None
    total: tuple[int, str | None] | None = None
    for place in sorted(present):
        family = FAMILIES[place]
        counts = _counts_of(family, attributes)
        if not counts:
            continue
        if base is None and "input" not in counts and "output" not in counts:
            total = total or counts.get("total")
            continue
        base = base or family
        for name, (count, source) in counts.items():
            if name not in found:
                found[name] = count
                if source is not None:
                    used.add(source)
    if base is None:
        # A total alone is the prompt's count.
        return Counts({"input": total[0]}, False, frozenset(filter(None, total[1:]))) if total else NO_COUNTS
    return Counts(found, base.is_disjoint, frozenset(used))


def _counts_of(family: Family, attributes: Attributes) -> dict[str, tuple[int, str | None]]:
    """Count -> (number, attribute or None for a member of JSON); only those that are there."""
    values = attributes.values
    if family.within is not None:
        if family.within not in values:
            return {}
        values = object_of(values[family.within])
    counts: dict[str, tuple[int, str | None]] = {}
    for name, sources in family.counts.items():
        for source in sources:
            names = (source,) if isinstance(source, str) else source
            numbers = [_count(values[part]) for part in names if part in values]
            known = [number for number in numbers if number is not None]
            if known:
                counts[name] = (sum(known), None if family.within else names[0])
                break
    for name, attribute, member in family.details:
        if name not in counts and attribute in values:
            count = _count(object_of(values[attribute]).get(member))
            if count is not None:
                counts[name] = (count, None)
    return counts


def _count(value: Any) -> int | None:
    if type(value) is int:
        return value if value > 0 else 0
    number = number_of(value)
    return None if number is None else max(int(number), 0)


def net_tokens(counts: Counts, flags: list[str]) -> Tokens:
    """The counts as they are stored: input net of cache and audio, output net of reasoning and audio."""
    taken, out, read, write, reasoning, audio_in, audio_out = (counts.found.get(name, 0) for name in COUNTS[:7])
    if not counts.is_disjoint:
        inside = read + write + audio_in
        # An input smaller than its parts was net already; only audio is never left out (ingest.md section 10).
        taken = max(taken - (inside if inside <= taken else audio_in), 0)
        out = max(out - reasoning - audio_out, 0)
    tokens = Tokens(taken, out, read, write, reasoning, audio_in, audio_out)
    if max(tokens) > TOKENS_MAX:
        flags.append("tokens_clamped")
        return Tokens(*(min(count, TOKENS_MAX) for count in tokens))
    return tokens


def usage_body(counts: Counts) -> dict[str, Any]:
    """The counts in the shape of OpenAI's chat responses, for the body."""
    found = counts.found
    taken, out, read, write, reasoning, audio_in, audio_out = (found.get(name, 0) for name in COUNTS[:7])
    if counts.is_disjoint:
        taken, out = taken + read + write + audio_in, out + reasoning + audio_out
    usage: dict[str, Any] = {
        "prompt_tokens": taken,
        "completion_tokens": out,
        "total_tokens": found.get("total", taken + out),
    }
    inside = {"cached_tokens": read, "cache_write_tokens": write, "audio_tokens": audio_in}
    if read or write or audio_in:
        usage["prompt_tokens_details"] = {name: count for name, count in inside.items() if count}
    inside = {"reasoning_tokens": reasoning, "audio_tokens": audio_out}
    if reasoning or audio_out:
        usage["completion_tokens_details"] = {name: count for name, count in inside.items() if count}
    return usage


def read_cost(attributes: Attributes, flags: list[str]) -> int | None:
    """The reported cost in nano-USD, first present; one over the limit is clamped and flagged."""
    for names, usd in _costs(attributes):
        if usd is not None and usd >= 0:
            attributes.used.update(names)
            if usd * 1_000_000_000 > COST_NANOUSD_MAX:
                flags.append("cost_clamped")
                return COST_NANOUSD_MAX
            return nanousd(usd)
    return None


_LANGFUSE_COST, _MLFLOW_COST = "langfuse.observation.cost_details", "mlflow.llm.cost"
_PARTS = ("llm.cost.prompt", "llm.cost.completion")
_PLAIN_COSTS = ("gen_ai.usage.cost", "gen_ai.usage.total_cost")
COSTS = frozenset((_LANGFUSE_COST, "llm.cost.total", *_PARTS, _MLFLOW_COST, *_PLAIN_COSTS))
"""All attributes that can say a cost."""


def _costs(attributes: Attributes) -> list[tuple[tuple[str, ...], int | float | None]]:
    """The amounts in USD, in the order in which they are tried, with the attributes that say nothing else."""
    values = attributes.values
    if COSTS.isdisjoint(values):
        return []
    details = object_of(values.get(_LANGFUSE_COST))
    members = _sum(list(details.values()))
    found: list[tuple[tuple[str, ...], int | float | None]] = [
        ((), number_of(details.get("total")) if "total" in details else members),
        (("llm.cost.total",), number_of(values.get("llm.cost.total"))),
        (_PARTS, _sum([values.get(name) for name in _PARTS])),
        ((), number_of(object_of(values.get(_MLFLOW_COST)).get("total_cost"))),
    ]
    return found + [((name,), number_of(values.get(name))) for name in _PLAIN_COSTS]


def _sum(values: list[Any]) -> int | float | None:
    numbers = [number for value in values if (number := number_of(value)) is not None]
    return sum(numbers) if numbers else None


def first_token_us(attributes: Attributes, start_us: int) -> int | None:
    """The wait for the first token in microseconds; None when it is unknown or longer than any request."""
    for name, unit_us in (("gen_ai.response.time_to_first_chunk", 1_000_000), ("ai.response.msToFirstChunk", 1_000)):
        wait = number_of(attributes.peek(name))
        if wait is not None and 0 <= wait * unit_us <= TIME_TO_FIRST_TOKEN_MS_MAX * 1_000:
            attributes.used.add(name)
            return number_us(wait, unit_us)
        if unit_us == 1_000_000 and (waited := _langfuse_wait_us(attributes, start_us)) is not None:
            return waited
    return None


def _langfuse_wait_us(attributes: Attributes, start_us: int) -> int | None:
    name = "langfuse.observation.completion_start_time"
    if name not in attributes.values:
        return None
    text = attributes.values[name]
    for _ in range(_QUOTES_MAX):
        text = parsed(text)
    if not isinstance(text, str):
        return None
    try:
        wait_us = iso_us(text, zone_required=False) - start_us
    except NotATime:
        return None
    if not 0 <= wait_us <= TIME_TO_FIRST_TOKEN_MS_MAX * 1_000:
        return None
    attributes.used.add(name)
    return wait_us
