"""Who may send and how much: credentials, and bodies read within their limits."""

import asyncio
import zlib
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from starlette.types import Receive, Scope

from infra.key_ring import KeysUnavailable
from infra.projects import Credential, well_formed
from ingest.errors import (
    BodyTooSlow,
    Forbidden,
    InvalidBody,
    KeysAway,
    Overloaded,
    PayloadTooLarge,
    Unauthorized,
    UnsupportedEncoding,
)
from ingest.rate import RateLimiter

KEY_IN_PATH = "pathline.key"
"""Member of the scope that holds a key which stood in the path."""
KEY_PREFIXES = ("sk-helicone", "pk-helicone", "sk-pathline", "pk-pathline")
AUTHORIZATIONS_REMEMBERED = 4_096
INFLATE_STEP_BYTES = 1024 * 1024
"""Between two steps other requests get their turn."""

_GZIP = zlib.MAX_WBITS | 16
_CREDENTIAL_HEADERS = (b"helicone-auth", b"authorization", b"x-api-key", b"api-key")

Headers = Mapping[bytes, bytes]


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

    async def read_body(self, headers: Headers, receive: Receive, bytes_max: int) -> bytes:
        """The whole body, decompressed, at most `bytes_max` long.

        Raises:
            PayloadTooLarge, UnsupportedEncoding, BodyTooSlow, InvalidBody: see there.
            Overloaded: other bodies take all the memory there is for them.
            ClientGone: the connection was closed.
        """
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.strip().lower() not in (b"gzip", b"identity", b""):
            raise UnsupportedEncoding
        _check_announced(headers, bytes_max)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._read_rest(body, receive, bytes_max)
        if len(body) > bytes_max:
            raise PayloadTooLarge
        if encoding is not None and encoding.strip().lower() == b"gzip":
            return await self._inflate(body, bytes_max)
        return body

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

    async def _inflate(self, body: bytes, bytes_max: int) -> bytes:
        """Inflate gzip, also of several members, in steps that stop at the limit."""
        chunks: list[bytes] = []
        taken = 0
        inflater = zlib.decompressobj(_GZIP)
        rest = body
        try:
            while True:
                chunk = inflater.decompress(rest, INFLATE_STEP_BYTES)
                taken = self._take(taken, len(chunk), bytes_max)
                chunks.append(chunk)
                if inflater.eof:
                    if not inflater.unused_data:
                        return b"".join(chunks)
                    rest = inflater.unused_data
                    inflater = zlib.decompressobj(_GZIP)
                elif not chunk and not inflater.unconsumed_tail:
                    raise InvalidBody("Invalid JSON: the gzip body is cut off")
                else:
                    rest = inflater.unconsumed_tail
                if len(chunk) == INFLATE_STEP_BYTES:
                    await asyncio.sleep(0)
        except zlib.error as fault:
            raise InvalidBody(f"Invalid JSON: the body is no gzip ({fault})") from fault
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
            key = _key_in(value, is_list=name == b"authorization")
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
    text = text.strip().replace("Bearer%20", "Bearer ", 1)
    return text[7:].strip() if text[:7].lower() == "bearer " else text
