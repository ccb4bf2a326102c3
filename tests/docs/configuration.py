"""`python -m tests.docs.configuration`: write the tables of docs/configuration.md anew from the settings models."""

import ast
import inspect
from importlib import import_module
from typing import Any

from pydantic.fields import FieldInfo

from infra.settings import StageSettings
from tests.tidy.checkout import PACKAGES, ROOT

PAGE = ROOT / "docs" / "configuration.md"
BEGIN = "<!-- settings: written by `python -m tests.docs.configuration` -->"
UNITS = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def main() -> None:
    """Replace everything after the mark."""
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n{tables()}", encoding="utf-8")


def tables() -> str:
    """One table for each settings model of each stage, in the order of the path of an event."""
    return "".join(_table(package, model) for package in PACKAGES for model in models_of(package))


def models_of(package: str) -> list[type[StageSettings]]:
    """The settings models that a stage defines, in the order of its file; none when it has no settings."""
    if not (ROOT / package / "settings.py").exists():
        return []
    module = import_module(f"{package}.settings")
    classes = [
        value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    return [value for value in classes if issubclass(value, StageSettings) and value.model_fields]


def docs_of(model: type[StageSettings]) -> dict[str, str]:
    """The string below each field."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return found


def shown(name: str, default: Any) -> str:
    """A default as one would set it; bytes with their size in words."""
    if default is None:
        return "unset"
    if "bytes" in name:
        for unit, factor in UNITS:
            if default >= factor and default % factor == 0:
                return f"`{default}` ({default // factor} {unit})"
    return f"`{default}`"


def allowed(field: FieldInfo) -> str:
    """The bounds of a number or the pattern of a text, in words; empty when anything goes."""
    rules = {name: value for rule in field.metadata for name, value in _constraints(rule)}
    bounds = [f"{words} {rules[name]}" for name, words in BOUNDS.items() if name in rules]
    return ", ".join(bounds + ([f"`{rules['pattern']}`"] if "pattern" in rules else []))


def _constraints(rule: object) -> list[tuple[str, object]]:
    found = ((name, getattr(rule, name, None)) for name in (*BOUNDS, "pattern"))
    return [(name, value) for name, value in found if value is not None]


def _table(package: str, model: type[StageSettings]) -> str:
    docs = docs_of(model)
    intro = " ".join((model.__doc__ or "").split())
    lines = [f"\n### `{package}`: {model.__name__}\n", f"{intro}\n", "| Variable | Default | Allowed | Meaning |"]
    lines.append("|---|---|---|---|")
    for name, field in model.model_fields.items():
        cells = (f"`{field.alias}`", shown(name, field.default), allowed(field), docs[name])
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
