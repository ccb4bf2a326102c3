"""What msgspec says about a bad JSON text, said to the client: the field, what is wrong, what is expected."""

import re

import msgspec

from ingest.event import InvalidEvent

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Everything that msgspec raises for a text that is not what it should be."""

_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING_FIELD = re.compile(r"Object missing required field `(?P<name>.*)`")
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>.*)`, got `(?P<got>.*)`")
_TYPE_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "array": "array",
    "object": "object",
}


def refusal(fault: Exception, subject: str = "event") -> InvalidEvent:
    """The refusal for one of `UNREADABLE`; `subject` names the whole text where no field is to blame."""
    if isinstance(fault, RecursionError):
        return InvalidEvent("Invalid JSON: nested too deep", code="invalid_json")
    if isinstance(fault, UnicodeDecodeError):
        return InvalidEvent(f"Invalid JSON: not UTF-8 at byte {fault.start}", code="invalid_json")
    text = str(fault)
    if not isinstance(fault, msgspec.ValidationError):
        reason = text.removeprefix("JSON is malformed: ")
        return InvalidEvent(f"Invalid JSON: {reason[0].lower()}{reason[1:]}", code="invalid_json")
    at = _AT.search(text)
    path = at["path"] if at else ""
    text = text[: at.start()] if at else text
    prefix = f"{path}." if path else ""
    if unknown := _UNKNOWN_FIELD.fullmatch(text):
        return InvalidEvent(f"Unknown field '{prefix}{unknown['name'][:64]}'", code="unknown_field")
    if missing := _MISSING_FIELD.fullmatch(text):
        return InvalidEvent(f"Missing field '{prefix}{missing['name']}'", code="missing_field")
    if wrong := _WRONG_TYPE.fullmatch(text):
        expected = _said(wrong["expected"])
        got = _TYPE_NAMES.get(wrong["got"], wrong["got"])
        return InvalidEvent(f"Invalid {path or subject}: expected {expected}, got {got}", code="invalid_type")
    return InvalidEvent(f"Invalid {path or subject}: {text[0].lower()}{text[1:]}", code="invalid_event")


def at_path(fault: Exception) -> str:
    """Where in the text one of `UNREADABLE` was found, as a path from its root; empty where that is not known."""
    at = _AT.search(str(fault))
    return at["path"] if at else ""


def _said(types: str) -> str:
    """`int | float | null` as `number`: what the reader may send, without our ways of holding it."""
    names = [name for name in types.split(" | ") if name != "null"]
    if "float" in names and "int" in names:
        names.remove("int")
    return " or ".join(_TYPE_NAMES.get(name, name) for name in names)
