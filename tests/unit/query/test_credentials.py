"""Goal: the key is found in every form that Helicone's clients send, and nothing else passes for one."""

import pytest

from query.credentials import key_of
from query.errors import Unauthorized

KEY = "sk-pathline-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": KEY},
        {"authorization": f"Bearer%20{KEY}"},
        {"authorization": f"Bearer sk-provider, Bearer {KEY}"},
        {"helicone-auth": f"Bearer {KEY}"},
        {"helicone-auth": f"Bearer {KEY}", "authorization": "Bearer sk-provider"},
    ],
)
def test_forms_of_the_key(headers: dict[str, str]) -> None:
    assert key_of(headers) == KEY


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "No authorization header"),
        ({"authorization": ""}, "No authorization header"),
        ({"authorization": "Bearer "}, "Invalid auth header format"),
        ({"authorization": '{"_type":"jwt"}'}, "Invalid auth header format"),
    ],
)
def test_no_key(headers: dict[str, str], text: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        key_of(headers)
    assert caught.value.text == text
    assert caught.value.envelope() == {"data": None, "error": text, "trace": "isAuthenticated.error"}
