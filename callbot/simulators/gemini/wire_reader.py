"""Reads decoded JSON by the tables of `wire_schema`, as strictly as the service, and says what is wrong with it.

The service reads protobuf JSON: fields in snake_case or camelCase, integers also as strings, null for a field that
is not set. google-genai sends a mixture of both spellings. What comes out is all in camelCase.
"""

import math
import re
from functools import lru_cache
from typing import Any

from . import messages
from .wire_schema import CLIENT_MESSAGE, Enum, Kind, Mapped, Message, Repeated, Scalar

INVALID_ARGUMENT = "Request contains an invalid argument."
MAX_DEPTH = 100  # of messages in each other, as in protobuf's own readers
_SHOWN = 60  # characters of an offending value in an error text
_BITS = {Scalar.INT32: 31, Scalar.INT64: 63}


class InvalidMessageError(Exception):
    """A client message for which the service closes with 1007; the text is the reason."""


@lru_cache(maxsize=4096)
def camel(key: str) -> str:
    """Return one key in camelCase (`mime_type` -> `mimeType`); other keys come back unchanged."""
    if "_" not in key.strip("_"):
        return key
    head, *tail = key.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def snake(name: str) -> str:
    """Return one field name in snake_case, as the service writes it in its error texts."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)


def read_message(decoded: Any) -> dict[str, Any]:
    """Return a decoded client message with the fields that are set, all of them known and of their kind.

    Raises:
        InvalidMessageError: it is not one message of the protocol.
    """
    if not isinstance(decoded, dict):
        raise InvalidMessageError(INVALID_ARGUMENT)
    message = _read(decoded, CLIENT_MESSAGE, "", 0)
    if len(message) != 1:  # the fields of a client message exclude each other
        raise InvalidMessageError(INVALID_ARGUMENT)
    return dict(message)


def unknown_name(name: str, path: str) -> str:
    """Return the service's reason for a field that it does not have; `path` is in snake_case."""
    place = f" at '{path}'" if path else ""
    return f'Invalid JSON payload received. Unknown name "{name[:_SHOWN]}"{place}: Cannot find field.'


def _read(value: Any, kind: Kind, path: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidMessageError("Invalid JSON payload received. The message is nested too deeply.")
    match kind:
        case Message():
            if not isinstance(value, dict):
                raise _wrong(value, f"type.googleapis.com/{kind.name}", path)
            return _read_fields(value, kind, path, depth)
        case Repeated(item):
            values = value if isinstance(value, list) else [value]
            return [_read(each, item, f"{path}[{index}]", depth + 1) for index, each in enumerate(values)]
        case Mapped(item):
            if not isinstance(value, dict):
                raise _wrong(value, "Map", path)
            return {key: _read(each, item, f"{path}.{key}", depth + 1) for key, each in value.items()}
        case Enum(name, names):
            return _read_enum(value, name, names, path)
        case Scalar():
            return _read_scalar(value, kind, path)


def _read_fields(value: dict[str, Any], kind: Message, path: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = camel(key)
        field = kind.fields.get(name)
        if field is None:
            raise InvalidMessageError(unknown_name(key, path))
        if name in found:
            raise InvalidMessageError(f"Invalid JSON payload received. Duplicate field '{key[:_SHOWN]}'.")
        if item is not None:
            found[name] = _read(item, field, f"{path}.{snake(name)}".lstrip("."), depth + 1)
    return found


def _read_enum(value: Any, name: str, names: frozenset[str], path: str) -> str:
    if isinstance(value, str) and value.upper() in names:
        return value.upper()
    raise _wrong(value, f"type.googleapis.com/{name}", path)


def _read_scalar(value: Any, kind: Scalar, path: str) -> Any:
    match kind:
        case Scalar.STRING:
            right = isinstance(value, str)
        case Scalar.BOOL:
            right = isinstance(value, bool)
        case Scalar.OBJECT:
            right = isinstance(value, dict)
        case Scalar.ANY:
            right = True
        case Scalar.BYTES:
            right = isinstance(value, str) and _is_base64(value)
        case Scalar.FLOAT:
            value = _number(value)
            right = value is not None
        case Scalar.INT32 | Scalar.INT64:
            number = _number(value)
            right = number is not None and number == int(number) and -(2 ** _BITS[kind]) <= number < 2 ** _BITS[kind]
            value = int(number) if right and number is not None else value
    if not right:
        raise _wrong(value, kind.value, path)
    return value


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,20}(\.\d{1,20})?", value):
        value = float(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    return None


def _is_base64(text: str) -> bool:
    try:
        messages.decode_audio(text)
    except ValueError:
        return False
    return True


def _wrong(value: Any, kind: str, path: str) -> InvalidMessageError:
    shown = f'"{value[:_SHOWN]}"' if isinstance(value, str) else type(value).__name__
    return InvalidMessageError(f"Invalid value at '{path}' ({kind}), {shown}")
