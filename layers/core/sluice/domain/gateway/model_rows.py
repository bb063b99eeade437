"""What is believed of a foreign server's list of models: OpenAI's fields, and the context window by its usual names."""

from typing import Any

MAX_CONTEXT = 100_000_000  # tokens
MAX_CAPABILITIES = 32
MAX_CHARACTERS = 256  # of a name


def model_rows(rows: list[Any]) -> list[dict[str, Any]]:
    """Those that are models. Errors: ValueError, if none is, of some."""
    found = []
    for row in rows:
        try:
            found.append(model_row(row))
        except (LookupError, TypeError, ValueError):
            continue
    if rows and not found:
        raise ValueError("a list of what are no models")
    return found


def model_row(row: dict[str, Any]) -> dict[str, Any]:
    """Other fields are left out, because some name paths and addresses of the server's machine. Errors: LookupError,
    TypeError, ValueError (what is no model)."""
    name, created, owner = row["id"], row.get("created"), row.get("owned_by")
    if not name or not _is_short(name):
        raise ValueError("a model without a name")
    found: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": created if type(created) is int else 0,
        "owned_by": owner if _is_short(owner) else "",
    }
    if (window := _window(row)) is not None:
        found["context_window"] = window
    can = row.get("capabilities")
    if isinstance(can, list) and len(can) <= MAX_CAPABILITIES and all(map(_is_short, can)):
        found["capabilities"] = can
    return found


def _is_short(text: object) -> bool:
    return isinstance(text, str) and len(text) <= MAX_CHARACTERS and text.isprintable()


def _window(row: dict[str, Any]) -> int | None:
    """Sources: Sluice (`context_window`), vLLM (`max_model_len`), OpenRouter (`context_length`), llama.cpp's server
    (`meta.n_ctx`, of a slot)."""
    meta = row.get("meta")
    stated = (row.get("context_window"), row.get("max_model_len"), row.get("context_length"))
    windows = (*stated, meta.get("n_ctx") if isinstance(meta, dict) else None)
    return next((one for one in windows if type(one) is int and 0 < one <= MAX_CONTEXT), None)
