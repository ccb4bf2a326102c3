"""Goal: an administrator manages projects and keys from the command line. Method: the commands over a real database."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from infra.__main__ import command
from infra.alert_rules import CostAbove, Webhook
from infra.key_ring import KeyRing
from infra.project_settings import Mapping, MaskingRule, ProjectSettings
from infra.projects import Credential, find_project, hash_key, make_key
from tests.services import run_statements
from tests.tidy.checkout import ROOT

Infra = Callable[..., Result]


@pytest.fixture
def infra(database: str) -> Infra:
    """`python -m infra` with arguments; fails unless it ends with `code`."""

    def run(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        answer = CliRunner().invoke(
            command, arguments, input=stdin, env={"PATHLINE_POSTGRES": database, "COLUMNS": "200"}
        )
        assert answer.exit_code == code, answer.output
        return answer

    return run


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(database)
    yield made
    await made.close()


async def stands_for(database: str, key: str) -> Credential | None:
    ring = KeyRing(database)
    await ring.start()
    try:
        return await ring.authenticate(key)
    finally:
        await ring.stop()


async def in_thread(infra: Infra, *arguments: str, code: int = 0, stdin: str | None = None) -> Result:
    """A command makes an event loop of its own."""
    return await asyncio.to_thread(infra, *arguments, code=code, stdin=stdin)


async def test_a_setting_is_a_new_version_that_the_next_event_is_received_under(
    infra: Infra, database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    mappings = tmp_path / "mappings.json"
    mappings.write_text('[{"field":"user_id","attribute":"tenant","scope":"resource"}]')
    await in_thread(infra, "projects", "create", "trips")
    key = (await in_thread(infra, "keys", "create", "k", "--project", "trips")).stdout.strip()
    said = await in_thread(
        infra, *("projects", "set", "trips"), *("--idle-limit-seconds", "60"), *("--retention-days", "30"),
        *("--events-per-second-max", "100"), "--trace-as-session", *("--masking", '[{"key":"password"}]'),
        *("--mappings", str(mappings)),
    )  # fmt: skip
    assert "trips, version 2" in said.stdout
    expected = ProjectSettings(
        idle_limit_seconds=60,
        retention_days=30,
        events_per_second_max=100,
        otlp_trace_as_session=True,
        masking=(MaskingRule(key="password"),),
        mappings=(Mapping("user_id", "tenant", "resource"),),
    )
    sender = await stands_for(database, key)
    assert sender is not None
    assert (sender.settings_version, sender.settings) == (2, expected)
    for field in ProjectSettings.__struct_fields__:
        assert field in said.stdout

    # What is not named stays, and `none` takes a limit away.
    await in_thread(infra, "projects", "set", "trips", "--retention-days", "none", "--no-trace-as-session")
    project = await find_project(connection, "trips")
    assert project.settings_version == 3
    assert project.settings.retention_days is None
    assert project.settings.idle_limit_seconds == 60
    versions = await connection.fetch("SELECT version FROM project_settings ORDER BY version")
    assert [row["version"] for row in versions] == [1, 2, 3]
    assert "retention_days" not in (await in_thread(infra, "projects", "list")).stdout


async def test_alerts_and_their_webhook_are_set_together_and_the_secret_is_not_shown(
    infra: Infra, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    webhook = tmp_path / "webhook.json"
    webhook.write_text('{"url":"https://example.com/hook","secret":"0123456789abcdef"}')
    rules = ("projects", "set", "trips", "--alerts", '[{"name":"costly","kind":"cost_above","usd":5}]')
    await in_thread(infra, "projects", "create", "trips")
    assert "alerts need a webhook" in (await in_thread(infra, *rules, code=2)).stderr
    shown = (await in_thread(infra, *rules, "--webhook", str(webhook))).stdout
    shown += (await in_thread(infra, "projects", "list")).stdout
    assert "https://example.com/hook" in shown
    assert "0123456789abcdef" not in shown
    settings = (await find_project(connection, "trips")).settings
    assert settings.alerts == (CostAbove(name="costly", usd=5.0),)
    assert settings.webhook == Webhook("https://example.com/hook", "0123456789abcdef")
    taken_away = ("projects", "set", "trips", "--webhook", "none")
    assert "alerts need a webhook" in (await in_thread(infra, *taken_away, code=2)).stderr
    await in_thread(infra, *taken_away, "--alerts", "[]")
    settings = (await find_project(connection, "trips")).settings
    assert (settings.alerts, settings.webhook) == ((), None)


async def test_settings_that_say_the_same_are_no_new_version(infra: Infra, connection: asyncpg.Connection) -> None:
    await in_thread(infra, "projects", "create", "trips")
    await in_thread(infra, "projects", "set", "trips", "--idle-limit-seconds", "300")
    assert "version 1" in (await in_thread(infra, "projects", "set", "trips")).stdout
    assert (await find_project(connection, "trips")).settings_version == 1


async def test_a_bad_value_changes_nothing(infra: Infra, connection: asyncpg.Connection) -> None:
    await in_thread(infra, "projects", "create", "trips")
    arguments = ("projects", "set", "trips", "--idle-limit-seconds", "60", "--retention-days", "-1")
    assert "--retention-days: " in (await in_thread(infra, *arguments, code=2)).stderr
    assert (await find_project(connection, "trips")).settings_version == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("projects", "set", "tripz", "--retention-days", "1"),
        ("keys", "create", "k", "--project", "tripz"),
        ("keys", "list", "--project", "tripz"),
        ("keys", "revoke", "k", "--project", "tripz"),
        ("keys", "rotate", "k", "--project", "tripz"),
        ("keys", "import", "sk-aaaaaaa-bbbbbbb-ccccccc-ddddddd", "--project", "tripz"),
    ],
)
def test_an_unknown_project_is_said_with_those_that_exist(infra: Infra, arguments: tuple[str, ...]) -> None:
    infra("projects", "create", "support")
    infra("projects", "create", "trips")
    said = infra(*arguments, code=2).stderr
    assert "there is no project 'tripz'; there are: support, trips" in said
    assert "projects create" in said
    assert "tripz" not in infra("projects", "list").stdout


def test_creating_a_project_twice_makes_one(infra: Infra) -> None:
    assert infra("projects", "create", "trips").stdout == "trips created\n"
    assert infra("projects", "create", "trips").stdout == "trips exists already\n"


@pytest.mark.parametrize(
    ("options", "may", "prefix"),
    [
        ((), (True, True), "sk-"),
        (("--read", "--write"), (True, True), "sk-"),
        (("--write",), (False, True), "pk-"),
        (("--read",), (True, False), "sk-"),
    ],
)
async def test_a_key_may_what_its_maker_says(
    infra: Infra, database: str, options: tuple[str, ...], may: tuple[bool, bool], prefix: str
) -> None:
    await in_thread(infra, "projects", "create", "default")
    key = (await in_thread(infra, "keys", "create", "k", *options)).stdout.strip()
    sender = await stands_for(database, key)
    assert sender is not None
    assert (sender.can_read, sender.can_write) == may
    assert key.startswith(prefix)
    listed = (await in_thread(infra, "keys", "list")).stdout
    assert hash_key(key).hex()[:12] in listed
    assert key not in listed


async def test_a_key_is_revoked_by_name_or_by_the_beginning_of_its_hash(infra: Infra, database: str) -> None:
    await in_thread(infra, "projects", "create", "default")
    keys = [(await in_thread(infra, "keys", "create", name)).stdout.strip() for name in ("one", "two", "two")]
    await in_thread(infra, "keys", "revoke", "one")
    assert "2 keys are called 'two'" in (await in_thread(infra, "keys", "revoke", "two", code=2)).stderr
    await in_thread(infra, "keys", "revoke", hash_key(keys[1]).hex()[:12])
    assert [await stands_for(database, key) is not None for key in keys] == [False, False, True]
    assert "no key that works" in (await in_thread(infra, "keys", "revoke", "one", code=2)).stderr


async def test_a_rotated_key_works_until_its_grace_is_over(
    infra: Infra, database: str, connection: asyncpg.Connection
) -> None:
    await in_thread(infra, "projects", "create", "default")
    old = (await in_thread(infra, "keys", "create", "app", "--write")).stdout.strip()
    new = (await in_thread(infra, "keys", "rotate", "app")).stdout.strip()
    assert new.startswith("pk-")
    assert await stands_for(database, new) == await stands_for(database, old) is not None
    assert "works until" in (await in_thread(infra, "keys", "list")).stdout
    # Until now() is past it, as it will be in a day.
    await run_statements(database, "UPDATE api_keys SET revoked_at = now() WHERE revoked_at IS NOT NULL")
    assert await stands_for(database, old) is None
    assert await stands_for(database, new) is not None
    assert await connection.fetchval("SELECT count(*) FROM api_keys WHERE name = 'app'") == 2


async def test_a_leaked_key_is_rotated_without_grace(infra: Infra, database: str) -> None:
    await in_thread(infra, "projects", "create", "default")
    old = (await in_thread(infra, "keys", "create", "app")).stdout.strip()
    new = (await in_thread(infra, "keys", "rotate", "app", "--grace-seconds", "0")).stdout.strip()
    assert await stands_for(database, old) is None
    assert await stands_for(database, new) is not None


async def test_helicones_keys_are_imported_by_their_form(
    infra: Infra, database: str, connection: asyncpg.Connection
) -> None:
    await in_thread(infra, "projects", "create", "default")
    secret, public = "sk-helicone-eu-aaaaaaa-bbbbbbb-ccccccc-ddddddd", "pk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
    legacy = "sk-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
    said = await in_thread(infra, "keys", "import", stdin=f"{secret}\n\n  {public}  \n{legacy}")
    assert said.stdout == "3 imported, 0 known already\n"
    assert (await in_thread(infra, "keys", "import", legacy)).stdout == "0 imported, 1 known already\n"
    for key, can_read in ((secret, True), (public, False), (legacy, True)):
        sender = await stands_for(database, key)
        assert sender is not None
        assert (sender.can_read, sender.can_write) == (can_read, True)
    stored = await connection.fetch("SELECT t::text AS row FROM api_keys AS t")
    assert not any("aaaaaaa" in row["row"] for row in stored)


async def test_an_import_takes_all_keys_or_none_and_never_repeats_one(infra: Infra, database: str) -> None:
    await in_thread(infra, "projects", "create", "default")
    await in_thread(infra, "projects", "create", "other")
    good, others, revoked = make_key(can_read=True), make_key(can_read=True), make_key(can_read=True)
    await in_thread(infra, "keys", "import", others, "--project", "other")
    await in_thread(infra, "keys", "import", revoked, "--name", "gone")
    await in_thread(infra, "keys", "revoke", "gone")
    for bad, text in (
        ("sk-proj-secret", "not of the form"),
        (others, "belongs to another project"),
        (revoked, "revoked"),
    ):
        said = await in_thread(infra, "keys", "import", good, bad, code=2)
        assert "key number 2" in said.stderr
        assert text in said.stderr
        assert bad not in said.output
        assert await stands_for(database, good) is None


async def test_permissions_of_imported_keys_can_be_given(infra: Infra, database: str) -> None:
    await in_thread(infra, "projects", "create", "default")
    key = make_key(can_read=True)
    await in_thread(infra, "keys", "import", key, "--write")
    sender = await stands_for(database, key)
    assert sender is not None
    assert (sender.can_read, sender.can_write) == (False, True)


def test_the_commands_of_the_page_work_as_they_stand(infra: Infra) -> None:
    page = (ROOT / "docs" / "projects.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("python -m infra ")]
    assert len(lines) > 10
    for line in lines:
        infra(*shlex.split(line)[3:])
    shown = infra("projects", "set", "trips").stdout
    assert all(field in shown for field in ProjectSettings.__struct_fields__)
    options = infra("projects", "set", "--help").stdout
    assert all(f"--{name}" in options for name in ("idle-limit-seconds", "join-window-seconds", "mappings"))
