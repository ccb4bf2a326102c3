"""Goal: only the documented variables decide, and a fault is told at once. Method: environments made up."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.settings import KafkaSettings, LocalSettings, PostgresSettings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATHLINE_HOME", "PATHLINE_KAFKA", "PATHLINE_POSTGRES", "KAFKA_PORT", "POSTGRES_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_the_home_is_a_folder_of_the_checkout_and_not_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert LocalSettings().home == Path.cwd() / ".pathline"


def test_the_name_of_a_field_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSN", "postgresql://elsewhere/x")
    monkeypatch.setenv("BOOTSTRAP", "elsewhere:1")
    assert PostgresSettings().dsn is None
    assert KafkaSettings().bootstrap is None


def test_the_documented_variables_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHLINE_HOME", "/data")
    monkeypatch.setenv("KAFKA_PORT", "1234")
    monkeypatch.setenv("PATHLINE_POSTGRES", "postgresql://elsewhere/x")
    assert LocalSettings().home == Path("/data")
    assert LocalSettings().kafka_servers == "127.0.0.1:1234"
    assert PostgresSettings().address() == "postgresql://elsewhere/x"


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHLINE_HOME", " ")
    monkeypatch.setenv("KAFKA_PORT", "0")
    monkeypatch.setenv("POSTGRES_PORT", "many")
    with pytest.raises(ValidationError) as caught:
        LocalSettings()
    assert {fault["loc"] for fault in caught.value.errors()} == {
        ("PATHLINE_HOME",),
        ("KAFKA_PORT",),
        ("POSTGRES_PORT",),
    }
