"""What folds add does not depend on how events are split, and taking back leaves what was never counted."""

import msgspec

from ingest.event import Event
from processors.batch import Decoded
from processors.catalogue import LISTED_CHARACTERS_MAX, entries_of
from processors.rollup import Folds, fold
from processors.session import SET_MEMBERS_MAX, bounded_set
from tests.factories import make_slice, native_record, random_records

ITEMS = make_slice(list(random_records(5, count=60, sessions=3))).events


def changed(item: Decoded, **changes: object) -> Decoded:
    event: Event = msgspec.structs.replace(item.event, **changes)
    return msgspec.structs.replace(item, event=event)


def test_order_does_not_matter() -> None:
    assert fold(ITEMS) == fold(ITEMS[::-1]) == fold(ITEMS[30:] + ITEMS[:30])


def test_an_event_that_was_counted_before_adds_only_what_it_gained() -> None:
    late = next(item for item in ITEMS if item.event.session_id and item.event.kind == "llm")
    before = changed(late, user_id="")
    after = changed(late, user_id="known by now")
    folds = Folds()
    folds.add(after)
    folds.take_back(before)
    assert {entry[1:] for entry, use in entries_of(folds.namings).items() if use.count} == {
        ("user", late.place.topic, late.place.partition, "", "known by now")
    }
    amounts = [fold.amounts for fold in folds.sessions.values()]
    amounts += [fold.amounts for fold in (*folds.paths.values(), *folds.hours.values())]
    for figures in amounts:
        assert (figures.request_count, figures.latency_us_sum, figures.prompt_tokens) == (0, 0, 0)
        assert not any(figures.latency_histogram.values())


def test_long_values_count_as_one_in_the_catalogue() -> None:
    long = [native_record(properties={"id": "x" * LISTED_CHARACTERS_MAX + str(number)}) for number in range(3)]
    folds = Folds()
    for item in make_slice(long).events:
        folds.add(item)
    assert [(entry[1], entry[4:], use.count) for entry, use in entries_of(folds.namings).items()] == [
        ("property", ("id", ""), 3)
    ]


def test_a_bounded_set_keeps_the_smallest_and_says_that_more_exist() -> None:
    members = {f"{number:03}" for number in range(SET_MEMBERS_MAX + 1)}
    assert bounded_set(members) == (sorted(members)[:SET_MEMBERS_MAX], True)
    assert bounded_set(members - {"000"}) == (sorted(members)[1:], False)
    assert bounded_set({"short", "long" * 1000}) == (["short"], True)
