"""Who may send and how much: credentials, and bodies read within their limits."""

import asyncio
import re
from collections.abc import Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from starlette.types import Receive, Scope

from infra.key_ring import KeysUnavailable
from infra.projects import Credential, well_formed
from ingest.errors import (
    BodyTooSlow,
    Forbidden,
    KeysAway,
    Overloaded,
    PayloadTooLarge,
    Unauthorized,
    UnsupportedEncoding,
)
from ingest.inflate import pieces
from ingest.rate import RateLimiter

KEY_IN_PATH = "pathline.key"
"""Member of the scope that holds a key which stood in the path."""
KEY_PREFIXES = ("sk-helicone", "pk-helicone", "sk-pathline", "pk-pathline")
AUTHORIZATIONS_REMEMBERED = 4_096
INFLATE_STEP_BYTES = 1024 * 1024
"""Between two steps other requests get their turn."""

INFLATERS_MAX = 8
"""Bodies that are inflated side by side: a decoder of zstd may hold 8 MiB that no budget knows of."""
PIECE_COST_BYTES = 4 * 1024
"""What an empty piece takes of a step, so that a body of nothing but empty members gives turns too."""
GZIP_ONLY = (b"gzip",)

_BEARER = re.compile(r"bearer(?:%20|\s|$)\s*", re.IGNORECASE | re.ASCII)
_CREDENTIAL_HEADERS = (b"helicone-auth", b"authorization", b"x-api-key", b"api-key")

_AUTHORIZATION = b"authorization"

Headers = Mapping[bytes, bytes]


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers of a call by name. Of one sent twice the last counts, but `Authorization`, a list, is joined."""
    sent = scope["headers"]
    headers = dict(sent)
    if len(headers) < len(sent) and _AUTHORIZATION in headers:
        headers[_AUTHORIZATION] = b", ".join(value for name, value in sent if name == _AUTHORIZATION)
    return headers


class Keys(Protocol):
    """What ingest needs of `infra.key_ring.KeyRing`."""

    @property
    def loaded(self) -> bool:
        """Whether there is a picture of the keys."""

    def known(self, key: str) -> Credential | None:
        """What a key that was used before stands for; None says nothing."""

    async def authenticate(self, key: str) -> Credential | None:
        """What a key stands for, None when there is no such key; raises `KeysUnavailable`."""


class ClientGone(Exception):
    """The client closed the connection before its body was complete: there is nobody to answer."""


class Admission:
    """One per process: it knows the keys, the rates of projects, and how many bytes of bodies are being read."""

    def __init__(self, keys: Keys, *, reading_bytes_max: int, body_seconds_max: float) -> None:
        self._keys = keys
        self._reading_bytes_max = reading_bytes_max
        self._body_seconds_max = body_seconds_max
        self.reading_bytes = 0
        self.limiter = RateLimiter()
        self._inflating = asyncio.Semaphore(INFLATERS_MAX)

    def known_writer(self, headers: Headers, scope: Scope) -> Credential | None:
        """The sender, when its key was used before and may write: the fast way, by look-ups alone."""
        text = _key_text(headers, scope)
        credential = self._keys.known(text) if text else None
        return credential if credential is not None and credential.can_write else None

    async def writer(self, headers: Headers, scope: Scope) -> Credential:
        """The sender.

        Raises:
            Unauthorized: no key, or one that does not exist.
            Forbidden: the key may not write.
            KeysAway: whether it exists cannot be told now.
        """
        text = _key_text(headers, scope)
        if text is None:
            raise Unauthorized("Unauthorized")
        if not well_formed(text):
            raise Unauthorized
        try:
            credential = await self._keys.authenticate(text)
        except KeysUnavailable as fault:
            raise KeysAway from fault
        if credential is None:
            raise Unauthorized
        if not credential.can_write:
            raise Forbidden
        return credential

    async def read_body(
        self, headers: Headers, receive: Receive, bytes_max: int, encodings: Sequence[bytes] = GZIP_ONLY
    ) -> bytes:
        """The whole body, decompressed, at most `bytes_max` long; `encodings` are those that it may have.

        Raises:
            PayloadTooLarge, UnsupportedEncoding, BodyTooSlow, InvalidBody: see there.
            Overloaded: other bodies take all the memory there is for them.
            ClientGone: the connection was closed.
        """
        encoding = headers.get(b"content-encoding", b"")
        if encoding:
            encoding = encoding.strip().lower().replace(b"identity", b"")
            if encoding and encoding not in encodings:
                raise UnsupportedEncoding(accepted=[name.decode() for name in encodings])
        _check_announced(headers, bytes_max)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._read_rest(body, receive, bytes_max)
        if len(body) > bytes_max:
            raise PayloadTooLarge
        return await self._inflate(body, encoding, bytes_max) if encoding else body

    async def _read_rest(self, first: bytes, receive: Receive, bytes_max: int) -> bytes:
        chunks = [first]
        taken = 0
        try:
            taken = self._take(taken, len(first), bytes_max)
            async with asyncio.timeout(self._body_seconds_max):
                while True:
                    message: MutableMapping[str, Any] = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    chunk = message.get("body", b"")
                    taken = self._take(taken, len(chunk), bytes_max)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as fault:
            raise BodyTooSlow from fault
        finally:
            self.reading_bytes -= taken

    async def _inflate(self, body: bytes, encoding: bytes, bytes_max: int) -> bytes:
        """Inflate in steps that stop at the limit."""
        chunks: list[bytes] = []
        taken = step_bytes = 0
        try:
            async with self._inflating:
                for piece in pieces(body, encoding):
                    taken = self._take(taken, len(piece), bytes_max)
                    chunks.append(piece)
                    step_bytes += len(piece) + PIECE_COST_BYTES
                    if step_bytes >= INFLATE_STEP_BYTES:
                        await asyncio.sleep(0)
                        step_bytes = 0
            return b"".join(chunks)
        finally:
            self.reading_bytes -= taken

    def _take(self, taken: int, more: int, bytes_max: int) -> int:
        """Count bytes that were read; the caller gives back what it took."""
        if taken + more > bytes_max:
            raise PayloadTooLarge
        if self.reading_bytes + more > self._reading_bytes_max:
            raise Overloaded
        self.reading_bytes += more
        return taken + more


def _check_announced(headers: Headers, bytes_max: int) -> None:
    announced = headers.get(b"content-length")
    # httptools has already refused a length that is no number.
    if announced is not None and int(announced) > bytes_max:
        raise PayloadTooLarge


def _key_text(headers: Headers, scope: Scope) -> str | None:
    """The key that was sent, from the first source that has one (ingest.md section 2)."""
    for name in _CREDENTIAL_HEADERS:
        value = headers.get(name)
        if value:
            key = _key_in(value, is_list=name == _AUTHORIZATION)
            if key:
                return key
    return scope.get(KEY_IN_PATH)


@lru_cache(maxsize=AUTHORIZATIONS_REMEMBERED)
def _key_in(value: bytes, is_list: bool) -> str:
    """The key in a header's value, with or without `Bearer`; of a comma list the part that is a key of ours."""
    text = value.decode("latin-1")
    parts = [_without_bearer(part) for part in (text.split(",") if is_list else [text])]
    return next((part for part in parts if part.startswith(KEY_PREFIXES)), parts[0])


def _without_bearer(text: str) -> str:
    text = text.strip()
    bearer = _BEARER.match(text)
    return text[bearer.end() :] if bearer else text
