"""A span's place in the tree: its segment and its path (otlp.md section 7)."""

from collections.abc import Sequence
from hashlib import blake2b

from ingest.event import TEXT_BYTES_MAX, normalise_path

SEGMENT_CHARACTERS_MAX = 128
LEVELS_MAX = 16
_HASH_BYTES = 4
_LONGEST_ESCAPE = 3


def segment_of(name: str) -> str:
    """A name as a segment: stripped, `%` and `/` escaped, cut (never inside an escape), `_` when it is empty."""
    segment = name.strip().replace("%", "%25").replace("/", "%2F")
    return _whole_escapes(segment, SEGMENT_CHARACTERS_MAX) or "_"


def derived_path(segments: Sequence[str], explicit: str | None = None) -> str:
    """The path that ancestors give: `segments` root first, the span's own last, below `explicit` if there is one.

    `explicit` is the nearest ancestor's explicit path, which stands for everything above and at that ancestor. Deeper
    than 16 levels keeps the first 15 and the last; more than 1,024 bytes keeps the beginning and the last segment, with
    a hash of what was cut between them.
    """
    levels = [*normalise_path(explicit).split("/")[1:], *segments] if explicit else list(segments)
    levels = [level for level in levels if level]
    if not levels:
        return "/"
    if len(levels) > LEVELS_MAX:
        levels[LEVELS_MAX - 1 : -1] = []
    path = "/" + "/".join(levels)
    if len(path) * 4 <= TEXT_BYTES_MAX or len(path.encode()) <= TEXT_BYTES_MAX:
        return path
    return _shortened(path[: -len(levels[-1]) - 1], levels[-1])


def _shortened(above: str, last: str) -> str:
    room = TEXT_BYTES_MAX - len(last.encode()) - 1 - (1 + 2 * _HASH_BYTES)
    head = above.encode()[: max(room, 0)].decode(errors="ignore")
    head = _whole_escapes(head, len(head))
    digest = blake2b(above[len(head) :].encode(), digest_size=_HASH_BYTES).hexdigest()
    return f"{head}~{digest}/{last}"


def _whole_escapes(text: str, characters_max: int) -> str:
    """The text cut to a length, without a part of an escape at its end."""
    if len(text) > characters_max:
        text = text[:characters_max]
    escape = text.rfind("%", max(len(text) - _LONGEST_ESCAPE + 1, 0))
    return text if escape < 0 else text[:escape]
