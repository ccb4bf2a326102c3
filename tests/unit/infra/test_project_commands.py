"""Goal: what is typed wrong is said in one line that names the option and what it may be. Method: no database."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.__main__ import command


def refusal_of(*arguments: str, stdin: str = "") -> str:
    """What a command says that is refused before it asks the database, which is nowhere here."""
    answer = CliRunner().invoke(
        command, arguments, input=stdin, env={"PATHLINE_POSTGRES": "postgresql://a:b@127.0.0.1:1/none"}
    )
    assert answer.exit_code == 2, answer.output
    assert answer.stdout == ""
    return answer.stderr


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--idle-limit-seconds", "0", "Expected `int` >= 1"),
        ("--idle-limit-seconds", "604801", "Expected `int` <= 604800"),
        ("--idle-limit-seconds", "none", "got `null`"),
        ("--idle-limit-seconds", "1.5", "got `str`"),
        ("--idle-limit-seconds", "soon", "give a whole number of seconds from 1 to 604800"),
        ("--join-window-seconds", "-5", "give a whole number of seconds from 1 to 604800"),
        ("--retention-days", "0", "give a whole number of days from 1 to 36500, or none"),
        ("--retention-days", "99999999999999999999", "give a whole number of days"),
        ("--events-per-second-max", "0", "give a whole number from 1, or none"),
        ("--masking", "[{}]", "needs exactly one of"),
        ("--masking", '[{"key":"a","pattern":"b"}]', "masking[0]"),
        ("--masking", '[{"kye":"a"}]', "kye"),
        ("--masking", "[", "give an array of rules"),
        ("--masking", "no such file.json", "No such file"),
        ("--mappings", '[{"field":"nothing","attribute":"a"}]', "mappings[0].field"),
        ("--mappings", '{"field":"user_id"}', "give an array of objects"),
        ("--alerts", '[{"name":"a","kind":"sesion_failed"}]', "alerts[0].kind"),
        ("--alerts", '[{"name":"a b","kind":"session_failed"}]', "alerts[0].name"),
        ("--alerts", '[{"name":"a","kind":"cost_above"}]', "required field `usd`"),
        ("--alerts", '[{"name":"a","kind":"cost_above","usd":-1}]', "alerts[0].usd"),
        ("--alerts", '[{"name":"a","kind":"cost_above","usd":1,"share":0.5}]', "unknown field `share`"),
        ("--alerts", '[{"name":"a","kind":"error_share_above","share":1,"requests_min":5}]', "alerts[0].share"),
        (
            "--alerts",
            '[{"name":"a","kind":"duration_above","seconds":1},{"name":"a","kind":"session_failed"}]',
            "twice",
        ),
        ("--webhook", '{"url":"https://example.com/"}', "required field `secret`"),
        ("--webhook", '{"url":"https://example.com/","secret":"short"}', "webhook.secret"),
        ("--webhook", '{"url":"ftp://example.com/","secret":"0123456789abcdef"}', "no http or https address"),
        ("--webhook", '{"url":"https://u:p@example.com/","secret":"0123456789abcdef"}', "without user and password"),
        ("--webhook", '{"url":"https://example.com:99999/","secret":"0123456789abcdef"}', "no http or https address"),
        ("--webhook", '{"url":"https:///x","secret":"0123456789abcdef"}', "no http or https address"),
    ],
)
def test_a_bad_value_is_named_with_what_it_may_be(option: str, value: str, text: str) -> None:
    said = refusal_of("projects", "set", "default", option, value)
    assert said.startswith(f"{option}: ")
    assert text in said
    assert said.count("\n") == 1


def test_a_file_that_holds_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "masking.json"
    file.write_bytes(b"\xff[]")
    assert refusal_of("projects", "set", "default", "--masking", str(file)).startswith("--masking: ")


@pytest.mark.parametrize("name", ["", " padded", "two\nlines", "x" * 257, "tab\t"])
def test_a_project_and_a_key_need_a_name_that_can_be_typed(name: str) -> None:
    assert refusal_of("projects", "create", "--", name).startswith("NAME: ")
    assert refusal_of("keys", "create", "--", name).startswith("NAME: ")


def test_importing_nothing_says_how_to_import() -> None:
    assert "one a line on standard input" in refusal_of("keys", "import", stdin="\n \n")


def test_a_database_that_is_away_is_one_line_and_exit_code_1() -> None:
    answer = CliRunner().invoke(
        command, ["projects", "list"], env={"PATHLINE_POSTGRES": "postgresql://a:b@127.0.0.1:1/none"}
    )
    assert answer.exit_code == 1
    assert "refused" in answer.stderr or "Connect" in answer.stderr
