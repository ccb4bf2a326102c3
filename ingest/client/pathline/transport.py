"""One persistent HTTP connection to the server, used by one thread."""

import contextlib
import email.utils
import gzip
import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from pathline.limits import ANSWER_BYTES_MAX, KIB, Limits

GZIP_FROM_BYTES = KIB
"""Below this the packed body is hardly shorter."""


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    body: bytes
    retry_after_seconds: float | None = None


class Unreachable(Exception):
    """There was no answer: no connection, a broken one, or none in time. The request may have arrived."""


class Transport:
    """Posts JSON. The connection is made at the first request and again whenever it broke."""

    def __init__(self, url: str, api_key: str, limits: Limits) -> None:
        """Read the address; nothing is sent yet. Raises ValueError for an address or a key that cannot be sent."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"Not the address of a server: {url!r}")
        if not api_key or not api_key.isascii() or not api_key.isprintable():
            raise ValueError("The API key is empty or holds a character that no key has")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._limits = limits
        self._connection: http.client.HTTPConnection | None = None
        self._interrupted = False

    def post(self, path: str, body: bytes) -> Answer:
        """Send and wait for the answer.

        Raises:
            Unreachable: there is none. A connection that the server closed while idle is replaced once, silently.
        """
        reused = self._connection is not None
        headers = self._headers
        if len(body) >= GZIP_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers = {**headers, "Content-Encoding": "gzip"}
        try:
            return self._exchange(path, body, headers)
        except (ConnectionError, http.client.RemoteDisconnected) as fault:
            self.close()
            if not reused or self._interrupted:
                raise Unreachable(str(fault)) from fault
        except (OSError, http.client.HTTPException) as fault:
            self.close()
            raise Unreachable(str(fault)) from fault
        try:
            return self._exchange(path, body, headers)
        except (OSError, http.client.HTTPException) as fault:
            self.close()
            raise Unreachable(str(fault)) from fault

    def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = self._connection or self._connect()
        connection.request("POST", self._prefix + path, body, headers)
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES_MAX)
        if not response.isclosed() or response.will_close:
            self.close()
        return Answer(response.status, content, retry_after_seconds(response.headers.get("Retry-After"), time.time()))

    def _connect(self) -> http.client.HTTPConnection:
        seconds = self._limits.connect_timeout_seconds
        if self._secure:
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=seconds, context=context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=seconds)
        self._connection = connection
        connection.connect()
        connection.sock.settimeout(self._limits.read_timeout_seconds)
        return connection

    def close(self) -> None:
        """Let go of the connection. The next request makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """Called from another thread: the request that is under way fails at once. The end of its use."""
        self._interrupted = True
        connection = self._connection
        if connection is not None and (sock := connection.sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def retry_after_seconds(value: str | None, now_seconds: float) -> float | None:
    """The header as seconds from now; it may be a number or a date. None when it is missing or neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value)) if value.strip().isdigit() else _until(value, now_seconds)
    except (TypeError, ValueError, OverflowError):
        return None


def _until(value: str, now_seconds: float) -> float:
    return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now_seconds)
