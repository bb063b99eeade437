"""Token counts made from text, for a model server that tells none."""

import json
from collections.abc import Mapping
from typing import Any

from sluice.domain.gateway import images

BYTES_A_TOKEN = 4  # of English text, by the vocabularies of today's models


def prompt_tokens(body: Mapping[str, Any], bytes_a_token: int = BYTES_A_TOKEN) -> int:
    """Of what a model reads of a request."""
    messages, seen = images.without(body.get("messages") or [])
    read = [messages, *(body.get(name) for name in ("prompt", "suffix", "tools", "response_format"))]
    text_bytes = len(json.dumps([part for part in read if part], ensure_ascii=False).encode(errors="replace"))
    return -(-text_bytes // bytes_a_token) + images.USUAL_TOKENS * seen
