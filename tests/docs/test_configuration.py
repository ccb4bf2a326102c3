"""Every setting is documented, by the models themselves."""

from tests.docs.configuration import BEGIN, PAGE, docs_of, models_of, tables
from tests.tidy.checkout import PACKAGES

MODELS = [model for package in PACKAGES for model in models_of(package)]


def test_every_stage_with_settings_is_seen() -> None:
    assert {model.__module__ for model in MODELS} >= {"infra.settings", "ingest.settings", "query.settings"}


def test_every_setting_has_a_variable_a_default_and_a_line_that_says_what_it_is() -> None:
    fields = [(model, name, field) for model in MODELS for name, field in model.model_fields.items()]

    assert [(model.__name__, name) for model, name, _ in fields if name not in docs_of(model)] == []
    assert [(model.__name__, name) for model, name, field in fields if not field.alias or field.is_required()] == []


def test_the_page_is_what_the_models_say() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page.partition(BEGIN)[2] == f"\n{tables()}", "run `python -m tests.docs.configuration`"
