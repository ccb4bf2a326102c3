"""Goal: what is a key, and what the database keeps of it. Method: examples of every format that clients have."""

import hashlib

import pytest

from infra.projects import hash_key, make_key, well_formed


@pytest.mark.parametrize(
    "key",
    [
        "sk-helicone-abcdefg-hijklmn-opqrstu-vwxyz12",
        "pk-helicone-abcdefg-hijklmn-opqrstu-vwxyz12",
        "sk-abcdefg-hijklmn-opqrstu-vwxyz12",
        "sk-helicone-eu-abcdefg-hijklmn-opqrstu-vwxyz12",
        "pk-helicone-eu-rl-abcdefg-hijklmn-opqrstu-vwxyz12",
        "sk-helicone-cp-abcdefg-hijklmn-opqrstu-vwxyz12",
        "sk-pathline-abcdefg-hijklmn-opqrstu-vwxyz12",
    ],
)
def test_every_format_that_clients_have_is_well_formed(key: str) -> None:
    assert well_formed(key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-proj-abcdef",
        "sk-pathline-abcdefg-hijklmn-opqrstu-vwxyz1",
        "sk-pathline-abcdefg-hijklmn-opqrstu-vwxyz12\n",
        " sk-pathline-abcdefg-hijklmn-opqrstu-vwxyz12",
        "xk-pathline-abcdefg-hijklmn-opqrstu-vwxyz12",
        "sk-pathline-äbcdefg-hijklmn-opqrstu-vwxyz12",
    ],
)
def test_other_text_is_not(text: str) -> None:
    assert not well_formed(text)


def test_a_made_key_is_well_formed_and_new_each_time() -> None:
    keys = {make_key(can_read=True) for _ in range(100)}
    assert len(keys) == 100
    assert all(well_formed(key) and key.startswith("sk-pathline-") for key in keys)
    assert make_key(can_read=False).startswith("pk-pathline-")


def test_the_hash_is_the_one_that_helicone_stores() -> None:
    key = "sk-helicone-abcdefg-hijklmn-opqrstu-vwxyz12"
    assert hash_key(key) == hashlib.sha256(f"Bearer {key}".encode()).digest()
