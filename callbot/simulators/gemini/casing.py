"""Spelling of client messages: snake_case, camelCase and mixtures of both become camelCase.

The service reads protobuf JSON, which accepts both spellings of every field. google-genai 3.4.0 sends a mixture
that differs by mode. Keys that belong to the user (tool arguments, schemas, labels) are never touched.
"""

from functools import lru_cache
from typing import Any

# What lies below these keys is the user's own naming, not a field of the protocol.
_OPAQUE = frozenset({"args", "response", "properties", "labels", "responseJsonSchema"})


@lru_cache(maxsize=4096)
def camel(key: str) -> str:
    """Return one key in camelCase (`mime_type` -> `mimeType`); other keys come back unchanged."""
    if "_" not in key.strip("_"):
        return key
    head, *tail = key.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def _is_opaque(key: str) -> bool:
    return key in _OPAQUE or key.startswith("parameters")


def normalise(value: Any) -> Any:
    """Return a copy of decoded JSON with all protocol keys in camelCase, at every depth."""
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            name = camel(key)
            result[name] = item if _is_opaque(name) else normalise(item)
        return result
    if isinstance(value, list):
        return [normalise(item) for item in value]
    return value
