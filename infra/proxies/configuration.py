"""Makes the configuration of Caddy or nginx, with the limits and deadlines of the code and of this environment."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from sluice import settings
from sluice.domain.documents.uploads import MAX_FILE_BYTES
from sluice.domain.errors import RequestTooLarge, SluiceError, Unavailable
from sluice.http.app import MAX_BODY_BYTES
from sluice.http.documents.files import FORM_BYTES
from sluice.http.errors import BODIES, form_of
from sluice.http.gateway.run_models import AnyBody

FOLDER = Path(__file__).parent
CADDY, NGINX = "caddy", "nginx"
DEFAULT_UPSTREAM = "127.0.0.1:8080"
UPLOAD_BYTES = MAX_FILE_BYTES + FORM_BYTES
LARGER = {
    "files": (UPLOAD_BYTES, ("/v1/files", "/v1/uploads/<upload_id>/parts")),  # and the owner's bound of batches' files
    "forms": (UPLOAD_BYTES, ("/my/documents", "/my/chats/files", "/my/chats/import", "/my/chats/<chat_id>/files")),
    "any": (AnyBody.max_bytes, ("/v1/run/<path:model>", "/v2/models/<name>/infer")),
}
"""Routes that take more than MAX_BODY_BYTES: bytes, and Flask's rules. For nginx, which collects bodies."""
FORMS = ("/v1/messages", "/v1/", "/")
"""Where errors have a form of their own; the first that begins the path decides."""
LONGER_SECONDS = 30
"""What a proxy waits longer than Sluice, which ends a request itself and says why."""
KEEP_ALIVE_SECONDS = 60
"""Less than Sluice keeps an idle connection (infra/local/gunicorn.conf.py): no request may meet one that closes."""


def render(proxy: str, domain: str, upstreams: Sequence[str] = (DEFAULT_UPSTREAM,), *, http3: bool = False) -> str:
    """`upstreams`: HOST:PORT of each machine that runs Sluice. `http3`: of nginx, which Caddy has by itself."""
    made = Environment(  # it writes no HTML
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["regex"] = regex
    deadline = settings.gateway().request_deadline_seconds
    batches = settings.documents().batch_file_mb * 1024 * 1024 + FORM_BYTES
    return made.from_string((FOLDER / f"{proxy}.j2").read_text()).render(
        domain=domain,
        upstreams=upstreams,
        http3=http3,
        least=MAX_BODY_BYTES,
        larger=LARGER | {"files": (max(batches, UPLOAD_BYTES), LARGER["files"][1])},
        forms=FORMS,
        too_large=RequestTooLarge(),
        away=Unavailable(),
        body=body,
        silence_seconds=round(deadline) + LONGER_SECONDS,
        keep_alive_seconds=KEEP_ALIVE_SECONDS,
    )


def body(error: SluiceError, path: str) -> str:
    """As Sluice's own, for what the proxy must answer itself."""
    return json.dumps(BODIES[form_of(path)](error, ""), ensure_ascii=False)


def regex(rules: Sequence[str]) -> str:
    """nginx's location of Flask's rules."""
    parts = (re.sub(r"<\w+>", "[^/]+", re.sub(r"<path:\w+>", ".+", rule)) for rule in rules)
    return f"^({'|'.join(parts)})$"
