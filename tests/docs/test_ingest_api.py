"""Every path that takes a log is in the page that says how to send one."""

import re

import pytest

from ingest.routes.helicone import PROVIDERS, TYPED_LOG_PATH
from ingest.routes.otlp import LOGS_PATH, TRACE_PATHS
from tests.tidy.checkout import ROOT

PAGE = (ROOT / "docs/ingest-api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*PROVIDERS, TYPED_LOG_PATH])
def test_a_path_is_documented_with_its_provider(path: str) -> None:
    [row] = re.findall(rf"^\|.*`{re.escape(path)}`.*\|$", PAGE, re.MULTILINE)
    assert (PROVIDERS.get(path) or "") in row


def test_no_other_path_is_documented() -> None:
    paths = set(re.findall(r"`(/[a-z/\d]+(?:log|logs|traces)(?:/typed|-python)?)`", PAGE))
    assert paths == {*PROVIDERS, TYPED_LOG_PATH, *TRACE_PATHS, LOGS_PATH}


@pytest.mark.parametrize("path", [*TRACE_PATHS, LOGS_PATH])
def test_a_path_of_opentelemetry_is_documented_with_its_encoding(path: str) -> None:
    [row] = re.findall(rf"^\| `{re.escape(path)}`.*\|$", PAGE, re.MULTILINE)
    default = TRACE_PATHS.get(path)
    assert row.endswith("| 415 |" if default is None else "| JSON |" if default.endswith(b"json") else "| protobuf |")
