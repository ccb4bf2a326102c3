"""Goal: credentials and headers mean what the tables of ingest.md sections 2 and 3 say. Method: one call a row."""

from typing import Any

import pytest

from infra.projects import well_formed
from ingest.decode.record import decode
from ingest.event import Event
from tests.unit.ingest.doors import KEY, READ_ONLY_KEY, Doors, make_doors
from tests.unit.ingest.logs import EXAMPLE, SMALLEST, changed, post

OTHER = "sk-pathline-zzzzzzz-bbbbbbb-ccccccc-ddddddd"
GROUPS = "-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


@pytest.fixture
def doors() -> Doors:
    return make_doors()


async def logged(doors: Doors, body: Any, headers: Any = None) -> Event:
    """The event that a log becomes."""
    answer = await post(doors, body, headers=headers)
    assert answer.status_code == 200, answer.text
    return decode(doors.publisher.records[-1])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Helicone-Auth": f"Bearer {KEY}", "Authorization": f"Bearer {OTHER}"}, 200),
        ({"Helicone-Auth": f"Bearer {OTHER}", "Authorization": f"Bearer {KEY}"}, 401),
        ({"Helicone-Auth": " ", "Authorization": f"Bearer {KEY}"}, 200),
        ({"Authorization": f"Bearer sk-provider, Bearer {KEY}"}, 200),
        ({"Authorization": f"Bearer {KEY}, Bearer sk-provider"}, 200),
        ({"Authorization": "Bearer sk-provider, Bearer sk-other"}, 401),
        ({"Authorization": f"Bearer {KEY}", "x-api-key": OTHER}, 200),
        ({"Authorization": "", "x-api-key": f"Bearer {KEY}", "api-key": OTHER}, 200),
        ({"Authorization": "", "api-key": KEY}, 200),
        ({"Authorization": KEY}, 200),
        ({"Authorization": f"bearer  {KEY}"}, 200),
        ({"Authorization": f"Bearer%20{KEY}"}, 200),
        ({"Authorization": f"bearer%20{KEY}"}, 200),
    ],
)
async def test_the_first_source_of_a_credential_wins(doors: Doors, headers: dict[str, str], status: int) -> None:
    assert (await post(doors, SMALLEST, headers=headers)).status_code == status


@pytest.mark.parametrize(
    "values",
    [(f"Bearer {KEY}", "Bearer sk-provider"), ("Bearer sk-provider", f"Bearer {KEY}"), (KEY, "")],
)
async def test_an_authorization_that_is_sent_twice_is_a_list(doors: Doors, values: tuple[str, str]) -> None:
    del doors.client.headers["Authorization"]
    assert (await post(doors, SMALLEST, headers=[("Authorization", value) for value in values])).status_code == 200


@pytest.mark.parametrize("empty", ["Bearer", "Bearer ", "bearer%20", " "])
@pytest.mark.parametrize("name", ["Helicone-Auth", "Authorization"])
async def test_a_bearer_without_a_key_is_no_credential(doors: Doors, name: str, empty: str) -> None:
    assert (
        await post(doors, SMALLEST, headers={"Authorization": "", name: empty, "x-api-key": KEY})
    ).status_code == 200
    nothing = await post(doors, SMALLEST, headers={"Authorization": "", name: empty})
    assert (nothing.status_code, nothing.json()["error"]) == (401, "Unauthorized")


@pytest.mark.parametrize(("header", "status"), [("", 200), (f"Bearer {OTHER}", 401)])
async def test_a_key_in_the_path_is_the_last_source(doors: Doors, header: str, status: int) -> None:
    answer = await post(doors, SMALLEST, f"/{KEY}/v1/trace/custom/log", {"Authorization": header})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("header", "status", "text"),
    [
        ("", 401, "Unauthorized"),
        ("Bearer nonsense", 401, "No API key found"),
        (f"Bearer {OTHER}", 401, "No API key found"),
        (f"Bearer {READ_ONLY_KEY}", 403, "API key lacks write permission"),
    ],
)
@pytest.mark.parametrize("path", ["/custom/v1/log", "/v1/trace/custom/log", "/v1/trace/custom/log/typed"])
async def test_who_may_not_log_is_told_before_the_body_is_read(
    doors: Doors, path: str, header: str, status: int, text: str
) -> None:
    answer = await post(doors, b"{nonsense", path, {"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (status, text)


@pytest.mark.parametrize(
    ("key", "is_good"),
    [
        *((kind + region + GROUPS, True) for kind in ("sk-helicone", "pk-helicone") for region in ("", "-eu", "-rl")),
        *((kind + GROUPS, True) for kind in ("sk", "pk", "sk-pathline", "pk-pathline")),
        *((f"{kind}-helicone{flags}{GROUPS}", True) for kind in ("sk", "pk") for flags in ("-eu-rl", "-cp", "-eu-cp")),
        ("sk-helicone-aaaaaaa-bbbbbbb-ccccccc", False),
        ("sk-openai" + GROUPS, False),
        ("sk-helicone" + GROUPS + "x", False),
    ],
)
def test_the_forms_of_a_key(key: str, is_good: bool) -> None:
    assert well_formed(key) is is_good


@pytest.mark.parametrize("source", ["http", "meta"])
@pytest.mark.parametrize(
    ("name", "value", "field", "stored"),
    [
        ("Helicone-Session-Id", "any text", "session_id", "any text"),
        ("Helicone-Session-Path", "a//B/", "path", "a//B/"),
        ("Helicone-Session-Name", "Trip", "session_name", "Trip"),
        ("Helicone-User-Id", "alice", "user_id", "alice"),
        ("Helicone-Model-Override", "m-1", "model_override", "m-1"),
        ("HELICONE-USER-ID", " \talice ", "user_id", "alice"),
        ("Helicone-User-Id", "a\\u0000b", "user_id", "ab"),
    ],
)
async def test_what_has_a_field_of_its_own(
    doors: Doors, source: str, name: str, value: str, field: str, stored: str
) -> None:
    # U+0000 stands as its escape, which a body can carry; no HTTP server lets it through in a header.
    sent = value.replace("\\u0000", "\0" if source == "meta" else "")
    headers, meta = ({name: sent}, {}) if source == "http" else ({}, {name: sent})
    event = await logged(doors, changed("providerRequest.meta", meta), headers)
    assert getattr(event, field) == stored
    assert event.properties == {}


@pytest.mark.parametrize("source", ["http", "meta"])
@pytest.mark.parametrize(
    ("name", "value", "properties"),
    [
        ("Helicone-Property-Environment", "production", {"environment": "production"}),
        ("HELICONE-PROPERTY-Two-Words", "x", {"two-words": "x"}),
        ("Helicone-Property-", "x", {}),
        ("Helicone-Property-Empty", " ", {}),
        ("Helicone-Property-Helicone-Session-Id", "x", {"helicone-session-id": "x"}),
        ("Helicone-Request-Id", "order-7", {"Helicone-Request-Id": "order-7"}),
        ("Helicone-Prompt-Id", "0", {"Helicone-Prompt-Id": "0"}),
        ("helicone-experiment-id", "e", {"Helicone-Experiment-Id": "e"}),
        ("helicone-cache-enabled", "true", {"Helicone-Cache-Enabled": "true"}),
        ("Helicone-Cache-Enabled", "false", {}),
        ("Helicone-Cache-Seed", "7", {"Helicone-Cache-Seed": "7"}),
        ("Helicone-Cache-Seed", "0", {}),
        ("Helicone-Cache-Bucket-Max-Size", "0.0", {}),
        ("Helicone-Cache-Bucket-Max-Size", "0.5", {"Helicone-Cache-Bucket-Max-Size": "0.5"}),
        ("Helicone-Cache-Control", "max-age=0", {"Helicone-Cache-Control": "max-age=0"}),
        ("Helicone-Posthog-Key", "phc_secret", {"Helicone-Sent-To-Posthog": "true"}),
        ("X-Stripe-Customer-Id", "cus_1", {"stripe_customer_id": "cus_1"}),
        *(
            (f"Helicone-{ignored}", "{mal;formed", {})
            for ignored in (
                "Prompt-Version",
                "Webhook-Enabled",
                "Retry-Num",
                "RateLimit-Policy",
                "Fallbacks",
                "Node-Id",
            )
        ),
        ("traceparent", "x", {}),
    ],
)
async def test_what_becomes_a_property(
    doors: Doors, source: str, name: str, value: str, properties: dict[str, str]
) -> None:
    headers, meta = ({name: value}, {}) if source == "http" else ({}, {name: value})
    event = await logged(doors, changed("providerRequest.meta", meta), headers)
    assert event.properties == properties
    assert event.session_id is None
    assert b"phc_secret" not in doors.publisher.published[0][1]


@pytest.mark.parametrize(("value", "is_omitted"), [("true", True), ("True", False), ("1", False), ("", False)])
@pytest.mark.parametrize("side", ["request", "response"])
async def test_only_true_omits_a_body(doors: Doors, side: str, value: str, is_omitted: bool) -> None:
    await logged(doors, EXAMPLE, {f"Helicone-Omit-{side.title()}": value})
    [record] = doors.publisher.records
    kept = {"request": b"rnberg" in bytes(record.request), "response": b"18.5" in bytes(record.response)}
    assert kept.pop(side) is not is_omitted
    assert all(kept.values())


async def test_a_header_that_is_sent_twice_is_joined(doors: Doors) -> None:
    event = await logged(doors, SMALLEST, [("Helicone-Property-A", "x"), ("helicone-property-a", "y")])
    assert event.properties == {"a": "x, y"}


async def test_http_wins_for_the_same_name_alone(doors: Doors) -> None:
    meta = {"Helicone-Session-Id": "meta", "helicone-user-id": "meta", "helicone_property_a": "meta"}
    headers = {"Helicone-Session-Id": "http", "Helicone-Property-A": "http", "Helicone-User-Id": ""}
    event = await logged(doors, changed("providerRequest.meta", meta), headers)
    assert (event.session_id, event.user_id, event.properties) == ("http", "meta", {"a": "http"})


async def test_the_responses_headers_say_nothing(doors: Doors) -> None:
    body = changed("providerResponse.headers", {"Helicone-Session-Id": "s", "Helicone-Property-A": "x"})
    event = await logged(doors, body)
    assert (event.session_id, event.properties) == (None, {"team": "travel"})


@pytest.mark.parametrize("name", ["user_api_key", "model_info", "session_id", "metaKey1"])
@pytest.mark.parametrize("value", ["x", 5, None, {"a": 1}, [1]])
async def test_what_else_stands_in_meta_is_not_kept(doors: Doors, name: str, value: Any) -> None:
    event = await logged(doors, changed("providerRequest.meta", {name: value}))
    assert (event.session_id, event.properties) == (None, {})
    assert name.encode() not in bytes(doors.publisher.records[0].content)
