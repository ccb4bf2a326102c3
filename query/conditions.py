"""One condition of a filter (column, operator, value) as SQL: pure. Values always become parameters.

Unknown values (null) are ordinary: nothing equals or contains them, so `not-equals` and `not-contains` hold
for them, and neither side of an order does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from uuid import UUID

from processors.session import text_key
from query.columns import (
    COLUMN_PROPERTIES,
    COLUMN_PROPERTY_EXISTS,
    SESSION_ID_EQUALS,
    Column,
    Type,
)

TEXT_OPERATORS = frozenset({"equals", "not-equals", "like", "ilike", "contains", "not-contains"})
NUMBER_OPERATORS = frozenset({"equals", "not-equals", "gte", "lte", "gt", "lt"})
OPERATORS = TEXT_OPERATORS | NUMBER_OPERATORS
OPERATORS_BY_TYPE = {
    Type.TEXT: TEXT_OPERATORS,
    Type.REQUEST_ID: TEXT_OPERATORS,
    Type.PROJECT_ID: TEXT_OPERATORS,
    Type.PROPERTY: TEXT_OPERATORS,
    Type.PROPERTY_KEY: frozenset({"equals"}),
    Type.NUMBER: NUMBER_OPERATORS,
    Type.USD: NUMBER_OPERATORS,
    Type.BOOLEAN: frozenset({"equals"}),
    Type.TIME: NUMBER_OPERATORS - {"not-equals"},
}
"""Which operators a column takes (read API section 2.1)."""

COMPARISONS = {
    "equals": "=",
    "not-equals": "IS DISTINCT FROM",
    "gte": ">=",
    "lte": "<=",
    "gt": ">",
    "lt": "<",
}
NUMERIC_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
NUMERIC_TEXT_LENGTH_MAX = 400
"""Longer than any float written out; beyond it is not a number that somebody measured."""
BEYOND_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]\d*(?=$|[Zz+-])")
NANOUSD = Decimal(10**9)

FOLDED = 'lower({text} COLLATE "pg_c_utf8")'
"""Case is ignored by Unicode's rules whatever the locale of the database is."""
SAME_NAME = f"{FOLDED.format(text='p.key')} = {FOLDED.format(text='{name}')}"
PROPERTY = (
    "coalesce((SELECT p.value FROM jsonb_each_text(r.properties) p"  # noqa: S608 - constant pieces
    f" WHERE {SAME_NAME} ORDER BY p.key <> {{name}}, p.key LIMIT 1), '')"
)
"""A property by name, any case; the exact spelling wins where a request has several. Absent: `""`."""
PROPERTY_EXISTS = f"EXISTS (SELECT FROM jsonb_each_text(r.properties) p WHERE {SAME_NAME})"


class Parameters:
    """The parameters of one statement, in order; those that the statement has of its own come first."""

    def __init__(self, *own: object) -> None:
        self.values: list[object] = list(own)

    def add(self, value: object) -> str:
        """Append a value; the answer is its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True)
class Condition:
    """One column, one operator, one value of the right type; `filters.parse` has checked all three."""

    column: Column
    operator: str
    value: object
    property_name: str = ""
    """For a property: its name as the caller spelt it."""


def parse_value(column: Column, operator: str, value: object) -> object:
    """The value in the type that the column compares with.

    Raises:
        ValueError: not a value that this operator takes on this column.
    """
    if operator not in OPERATORS_BY_TYPE[column.type]:
        raise ValueError(operator)
    if value == "null" and operator in ("equals", "not-equals") and column.type is not Type.PROPERTY_KEY:
        return None
    if column.type is Type.NUMBER:
        return _number(value)
    if column.type is Type.USD:
        return int((_number(value) * NANOUSD).to_integral_value(ROUND_HALF_EVEN))
    if column.type is Type.BOOLEAN:
        return _boolean(value)
    if column.type is Type.TIME:
        return _time(value)
    return _text(operator, value)


def _text(operator: str, value: object) -> str:
    # Postgres text has no U+0000, and a pattern that ends in a lone escape is an error there.
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(value)
    if operator in ("like", "ilike") and (len(value) - len(value.rstrip("\\"))) % 2:
        raise ValueError(value)
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(value)
    text = str(value).strip()
    if len(text) > NUMERIC_TEXT_LENGTH_MAX or not NUMERIC_TEXT.fullmatch(text):
        raise ValueError(value)
    return Decimal(text)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError(value)


@dataclass(frozen=True)
class _Instant:
    at: datetime
    """Cut to microseconds, UTC."""
    cut: bool
    """Something was cut: the instant meant is after `at` and before the next microsecond."""


def _time(value: object) -> _Instant:
    if not isinstance(value, str):
        raise ValueError(value)
    text = value.strip()
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        at = moment.astimezone(UTC)
    except OverflowError as fault:
        raise ValueError(value) from fault
    return _Instant(at, BEYOND_MICROSECONDS.search(text) is not None)


def condition_sql(condition: Condition, parameters: Parameters) -> str:
    """The condition as one SQL expression that binds tightly; its values are added to `parameters`."""
    column, operator, value = condition.column, condition.operator, condition.value
    if column.type is Type.PROPERTY_KEY:
        name = str(value)
        return COLUMN_PROPERTY_EXISTS.get(name.lower()) or PROPERTY_EXISTS.format(name=parameters.add(name) + "::text")
    if column.type is Type.PROPERTY:
        column = _property_column(condition.property_name, parameters)
    if value is None:
        return f"({column.sql} IS NULL)" if operator == "equals" else f"({column.sql} IS NOT NULL)"
    return _BY_TYPE.get(column.type, _text_sql)(column, operator, value, parameters)


def _property_column(name: str, parameters: Parameters) -> Column:
    known = COLUMN_PROPERTIES.get(name.lower())
    return known or Column(Type.TEXT, PROPERTY.format(name=parameters.add(name) + "::text"))


def _text_sql(column: Column, operator: str, value: object, parameters: Parameters) -> str:
    sql = column.sql
    if operator == "equals" and value == "__empty__":
        return f"(coalesce({sql}, '') = '')"
    placeholder = f"{parameters.add(value)}::text"
    if operator == "equals" and sql in SESSION_ID_EQUALS and value:
        key = parameters.add(text_key(str(value)))
        return SESSION_ID_EQUALS[sql].format(key=f"{key}::uuid", id=placeholder)
    if operator in COMPARISONS:
        return f"({sql} {COMPARISONS[operator]} {placeholder})"
    if operator == "like":
        return f"({sql} LIKE {placeholder})"
    folded, folded_value = FOLDED.format(text=sql), FOLDED.format(text=placeholder)
    if operator == "ilike":
        return f"({folded} LIKE {folded_value})"
    contains = f"position({folded_value} IN {folded}) > 0"
    return f"({contains})" if operator == "contains" else f"(NOT coalesce({contains}, false))"


def _request_id_sql(column: Column, operator: str, value: object, parameters: Parameters) -> str:
    text = str(value)
    if operator == "equals" and _is_canonical_uuid(text):
        return f"({column.sql} = {parameters.add(UUID(text))}::uuid)"
    return _text_sql(Column(Type.TEXT, f"{column.sql}::text"), operator, value, parameters)


def _is_canonical_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _project_id_sql(column: Column, operator: str, value: object, parameters: Parameters) -> str:
    return _text_sql(Column(Type.TEXT, f"{column.sql}::text"), operator, value, parameters)


def _number_sql(column: Column, operator: str, value: object, parameters: Parameters) -> str:
    return f"({column.sql} {COMPARISONS[operator]} {parameters.add(value)}::numeric)"


def _boolean_sql(column: Column, operator: str, value: object, parameters: Parameters) -> str:
    return f"({column.sql} = {parameters.add(value)}::boolean)"


def _time_sql(column: Column, operator: str, value: object, parameters: Parameters) -> str:
    if not isinstance(value, _Instant):
        raise TypeError(value)
    if value.cut:
        # Stored times are whole microseconds: none equals it, and `at` itself lies before it.
        operator = {"gte": "gt", "gt": "gt", "lte": "lte", "lt": "lte"}.get(operator, "")
        if not operator:
            return "false"
    return f"({column.sql} {COMPARISONS[operator]} {parameters.add(value.at)}::timestamptz)"


_BY_TYPE: dict[Type, Callable[[Column, str, object, Parameters], str]] = {
    Type.REQUEST_ID: _request_id_sql,
    Type.PROJECT_ID: _project_id_sql,
    Type.NUMBER: _number_sql,
    Type.USD: _number_sql,
    Type.BOOLEAN: _boolean_sql,
    Type.TIME: _time_sql,
}
