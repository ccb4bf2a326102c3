"""Follows single events from their 2xx to the session query: how long until a person can see what was logged."""

import http.client
import time
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec

from tests.benchmarks.ground import MeasurementFailed

VISIBLE_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.005
"""Between two questions: the resolution of the figure."""


class Probe:
    """One connection to ingest, one to query; blocking, to be run in a thread."""

    def __init__(self, *, ingest_port: int, query_port: int, key: str) -> None:
        self._ingest = http.client.HTTPConnection("127.0.0.1", ingest_port, timeout=VISIBLE_SECONDS_MAX)
        self._query = http.client.HTTPConnection("127.0.0.1", query_port, timeout=VISIBLE_SECONDS_MAX)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def seconds_to_visible(self) -> float:
        """Log one event of a new session; the time from its 200 until the session is listed.

        Raises:
            MeasurementFailed: it was not accepted, or not listed in time.
        """
        session_id = f"probe-{uuid4()}"
        self._post(self._ingest, "/v1/events", {"session_id": session_id, "kind": "tool", "name": "probe"})
        began = time.perf_counter()
        while (waited := time.perf_counter() - began) < VISIBLE_SECONDS_MAX:
            if self._post(self._query, "/v1/session/query", {"search": session_id})["data"]:
                return time.perf_counter() - began
            time.sleep(LOOK_SECONDS)
        raise MeasurementFailed(f"{session_id} is not listed after {waited:.0f} s")

    def _post(self, connection: http.client.HTTPConnection, path: str, body: object) -> dict[str, Any]:
        connection.request("POST", path, msgspec.json.encode(body), self._headers)
        response = connection.getresponse()
        text = response.read()
        if response.status != http.HTTPStatus.OK:
            raise MeasurementFailed(f"{path} answered {response.status}: {text[:300]!r}")
        answer: dict[str, Any] = msgspec.json.decode(text)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        self._ingest.close()
        self._query.close()
