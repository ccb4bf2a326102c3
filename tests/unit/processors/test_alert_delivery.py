"""Goal: the signature is the documented one, and attempts spread over about a day. Method: no receiver."""

from processors.alert_delivery import ATTEMPTS_MAX, pause_seconds, signature


def test_the_signature_is_that_of_the_documentation() -> None:
    """Computed with `printf '1790000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`."""
    digest = "3d02334942fff50e279f641c1b104ff5f49380d94ff307bb92b1e03f5aee6ff0"
    assert signature("0123456789abcdef", b"{}", 1_790_000_000) == f"t=1790000000,v1={digest}"


def test_pauses_grow_to_an_hour_and_end_within_a_day_or_so() -> None:
    pauses = [pause_seconds(attempt) for attempt in range(1, ATTEMPTS_MAX)]
    assert 3.75 <= pauses[0] <= 6.25
    assert all(2700 <= pause <= 4500 for pause in pauses[10:])
    assert 16 * 3600 < sum(pauses) < 30 * 3600
    # By chance: not all receivers' retries fall together.
    assert len({pause_seconds(20) for _ in range(10)}) > 1
