"""A server on this machine that answers what a script says and keeps every request that it read."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from pathline import Client, Limits

QUICK = Limits(batch_age_seconds=0.01, backoff_first_seconds=0.01, backoff_max_seconds=0.05)


class Answer(NamedTuple):
    """What the script lets the server say."""

    status: int
    content: object
    headers: Mapping[str, str] = {}


Script = Callable[[int, Any], Answer]
"""Number of the request (from 1) and its JSON -> answer."""


@dataclass
class Door:
    """The running server."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event of every request, whatever was answered."""
        return [event for body in self.bodies for event in (body if isinstance(body, list) else [body])]

    def client(self, limits: Limits = QUICK) -> Client:
        """A client of this server; its block's end closes it."""
        return Client(self.url, "sk-test", limits=limits)


def accept(_: int, body: Any) -> Answer:
    """Take everything."""
    return Answer(200, {"accepted": len(body), "rejected": 0, "results": []})


@contextmanager
def opened(script: Script = accept) -> Iterator[Door]:
    """The server, until the block ends."""
    door, lock = Door(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                text = gzip.decompress(text)
            body = json.loads(text)
            with lock:
                door.paths.append(self.path)
                door.bodies.append(body)
                door.times.append(time.monotonic())
                number = len(door.bodies)
            answer = script(number, body)
            content = json.dumps(answer.content).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        door.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield door
        finally:
            server.shutdown()
            thread.join()
