"""The few lines of HTTP that the samples need, so that they bring no library of their own."""

import json
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from ingest.samples.errors import SamplesFailed

ANSWER_SECONDS_MAX = 10.0
"""A service that takes longer to answer counts as away."""

OVERLOAD_SECONDS_MAX = 10.0
"""How long a service may go on answering 503 before the samples give up."""

PAUSE_SECONDS_MAX = 2.0
"""The longest pause that a `Retry-After` is followed for."""


class HttpClient:
    """One connection to one service, with the API key on every request."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SamplesFailed(f"not an address of a service: {url}")
        connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self.url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        self._connection = connection(parts.hostname, parts.port, timeout=ANSWER_SECONDS_MAX)
        self._key = key

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def get(self, path: str) -> Any | None:
        """The JSON answer; None when there is no such thing (404)."""
        status, text = self._ask("GET", path, None, {})
        if status == 404:
            return None
        return json.loads(self._expect_ok("GET", path, status, text))

    def post(self, path: str, content: Any, headers: Mapping[str, str] | None = None) -> str:
        """Send JSON and give the text of the answer. Answers 503 are waited out: sending again must be safe.

        Raises:
            SamplesFailed: no answer, or one that is not 2xx.
        """
        status, text = self._ask("POST", path, json.dumps(content).encode(), headers or {})
        return self._expect_ok("POST", path, status, text)

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, str]:
        sent = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **headers}
        deadline = time.monotonic() + OVERLOAD_SECONDS_MAX
        while True:
            try:
                self._connection.request(method, self._prefix + path, body, sent)
                answer = self._connection.getresponse()
                text = answer.read().decode("utf-8", "replace")
            except (OSError, HTTPException) as fault:
                self._connection.close()
                raise SamplesFailed(f"{self.url} does not answer: {fault}") from fault
            pause_seconds = _retry_after_seconds(answer)
            if answer.status != 503 or time.monotonic() + pause_seconds > deadline:
                return answer.status, text
            time.sleep(pause_seconds)

    def _expect_ok(self, method: str, path: str, status: int, text: str) -> str:
        if 200 <= status < 300:
            return text
        raise SamplesFailed(f"{method} {self.url}{path} was answered {status}: {text.strip()[:300]}")


def _retry_after_seconds(answer: HTTPResponse) -> float:
    asked = answer.headers.get("Retry-After", "1")
    return min(float(asked), PAUSE_SECONDS_MAX) if asked.isdigit() else 1.0
