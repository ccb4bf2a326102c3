"""Goal: the picture of the keys survives on disk, and a bad file never stops or misleads a start.

Method: files written, then cut, changed and aged.
"""

import json
import stat
import time
from pathlib import Path

import pytest

from infra.alert_rules import Webhook
from infra.key_snapshot import AGE_SECONDS_MAX, Picture, read_snapshot, snapshot_file, write_snapshot
from infra.project_settings import DEFAULTS, MaskingRule, ProjectSettings
from infra.projects import Credential, hash_key, make_key

MASKED = ProjectSettings(retention_days=30, masking=(MaskingRule(key="password"), MaskingRule(pattern="[0-9]{16}")))


def make_picture(*, taken_at: float | None = None) -> Picture:
    return Picture(
        time.time() if taken_at is None else taken_at,
        {
            hash_key("sk-one"): Credential(1, True, True, 4, MASKED),
            hash_key("pk-one"): Credential(1, False, True, 4, MASKED),
            hash_key("sk-two"): Credential(2, True, False, 1, DEFAULTS),
        },
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "keys.json"
    first, second = make_picture(), Picture(time.time(), {})
    write_snapshot(file, first)
    assert read_snapshot(file) == first
    write_snapshot(file, second)
    assert read_snapshot(file) == second
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]


def test_the_secret_of_a_webhook_is_not_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    settings = ProjectSettings(retention_days=30, webhook=Webhook("https://example.com/", "0123456789abcdef"))
    write_snapshot(file, Picture(time.time(), {hash_key("sk-one"): Credential(1, True, True, 2, settings)}))
    assert "0123456789abcdef" not in file.read_text()
    picture = read_snapshot(file)
    assert picture is not None
    assert picture.credentials[hash_key("sk-one")].settings == ProjectSettings(retention_days=30)


def test_only_the_owner_reads_the_file_and_it_holds_no_key(tmp_path: Path) -> None:
    file, key = tmp_path / "keys.json", make_key(can_read=True)
    write_snapshot(file, Picture(time.time(), {hash_key(key): Credential(1, True, True, 1)}))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert hash_key(key).hex() in file.read_text()
    assert key not in file.read_text()


def test_a_file_that_is_not_there_is_no_picture(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "keys.json") is None


def test_a_file_that_is_cut_off_anywhere_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_snapshot(file, make_picture())
    data = file.read_bytes()
    for length in range(len(data)):
        file.write_bytes(data[:length])
        assert read_snapshot(file) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",true,true,", ",true,false,"),
        lambda text: text.replace('"format":1', '"format":2'),
        lambda text: text.replace("password", "passport"),
        lambda text: "{}",
        lambda text: "\0" * len(text),
        lambda text: "[]",
    ],
)
def test_a_file_that_was_changed_is_ignored_and_the_log_says_why(
    tmp_path: Path, change: object, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.json"
    write_snapshot(file, make_picture())
    text = file.read_text()
    assert callable(change)
    changed = change(text)
    assert changed != text
    file.write_text(changed)
    assert read_snapshot(file) is None
    assert "key_snapshot_ignored" in capsys.readouterr().out


def test_bytes_that_are_no_text_are_ignored(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(b"\xff\xfe" * 1000)
    assert read_snapshot(file) is None


def test_a_folder_in_its_place_is_ignored(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path) is None


def test_an_old_picture_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_snapshot(file, make_picture(taken_at=time.time() - AGE_SECONDS_MAX + 60))
    assert read_snapshot(file) is not None
    write_snapshot(file, make_picture(taken_at=time.time() - AGE_SECONDS_MAX - 60))
    assert read_snapshot(file) is None


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, picture = tmp_path / "keys.json", make_picture()
    write_snapshot(file, picture)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_snapshot(file, Picture(time.time(), {}))
    assert read_snapshot(file) == picture
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_each_database_has_a_file_whoever_connects(tmp_path: Path) -> None:
    def name_of(dsn: str) -> str:
        return snapshot_file(tmp_path, dsn).name

    first = name_of("postgresql://pathline:old@db:5432/pathline")
    assert first == name_of("postgresql://other:n%40w@db:5432/pathline")
    assert first != name_of("postgresql://pathline:old@db:5432/other")
    assert first != name_of("postgresql://pathline:old@db2:5432/pathline")
    assert "old" not in first


def test_settings_are_stored_once_a_project(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_snapshot(file, make_picture())
    assert set(json.loads(file.read_text())["content"]["settings"]) == {"1/4", "2/1"}
