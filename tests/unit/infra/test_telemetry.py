"""Goal: one JSON object a line, whoever logs. Method: a process of its own, because the set-up is the process's."""

import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from infra.telemetry import configure_logging
configure_logging("ingest")
structlog.get_logger().info("started", port=1)
structlog.get_logger().debug("unheard")
logging.getLogger("library").warning("slow %s", "disk")
logging.getLogger("library").info("unheard")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("failed")
"""


def test_every_line_is_json_with_level_event_stage_and_time() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert result.stdout == ""
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "started"),
        ("warning", "slow disk"),
        ("error", "failed"),
    ]
    assert all(line["stage"] == "ingest" and line["time"] for line in lines)
    assert lines[0]["port"] == 1
    assert lines[1]["logger"] == "library"
    assert "ZeroDivisionError" in lines[2]["exception"]
