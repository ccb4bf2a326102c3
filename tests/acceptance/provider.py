"""A stand-in for a provider of models: it answers chat completions on this machine, so no test talks to the world."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_767_225_600,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "The castle."}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 13,
        "completion_tokens": 4,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 3},
    },
}
REFUSED_MODEL = "no-such-model"


@contextmanager
def provider(refused_model: str = REFUSED_MODEL, status: int = 404, message: str = "No such model") -> Iterator[str]:
    """The base address, as OPENAI_BASE_URL takes it, until the block ends. One model is refused with this status."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            is_known = self.path == "/v1/chat/completions" and asked["model"] != refused_model
            content = json.dumps(COMPLETION if is_known else {"error": {"message": message}}).encode()
            self.send_response(200 if is_known else status)
            self.send_header("x-should-retry", "false")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
