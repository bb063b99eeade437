"""`python -m infra.aws.scaling_page [--write]`: generates docs/scaling.md from `scaling.md.j2` and `scaling`."""

from pathlib import Path

from infra.aws import scaling
from infra.aws.cost import inputs
from infra.aws.cost.page import main, render
from sluice.adapters.documents.files import MOST_FILES
from sluice.domain.accounts.sessions import MOST_SESSIONS
from sluice.domain.accounts.throttles import EVENT
from sluice.domain.chats.chat import MOST_CHATS, MOST_MESSAGES
from sluice.domain.documents.document import MOST_ATTACHMENTS, MOST_VECTOR_STORES
from sluice.domain.gateway.grants import MAX_LIVE_TOKENS
from sluice.domain.gateway.leases import LEASE_SHARDS
from sluice.domain.tokens import MOST_TOKENS
from sluice.services.documents.vector_stores import MOST_BATCHES
from sluice.services.gateway.stored_completions import MOST_COMPLETIONS
from sluice.services.gateway.stored_responses import MOST_RESPONSES

PAGE = inputs.TEMPLATE.parent / "docs" / "scaling.md"
STREAM_SECONDS = 4.0
BOUNDS = {
    "chats; messages of one": (f"{MOST_CHATS:,}; {MOST_MESSAGES:,}", "409"),
    "stored chat completions": (f"{MOST_COMPLETIONS:,}, for `SLUICE_CONTENT_DAYS`", "the oldest goes"),
    "stored responses": (f"{MOST_RESPONSES:,}, for `SLUICE_CONTENT_DAYS`", "the oldest goes"),
    "files": (f"{MOST_FILES:,}, of `SLUICE_DEFAULT_STORAGE_MB` together", "413"),
    "vector stores; files in all of them": (f"{MOST_VECTOR_STORES:,}; {MOST_ATTACHMENTS:,}", "409"),
    "text in all of them": ("ten times `SLUICE_DEFAULT_STORAGE_MB`", "the file is `failed`"),
    "file batches of a vector store": (f"{MOST_BATCHES:,}", "the oldest goes"),
    "sessions": (f"{MOST_SESSIONS:,}", "the oldest ends"),
    "API tokens in the list": (
        f"{MOST_TOKENS:,}, of which {MAX_LIVE_TOKENS} live",
        "the oldest ended one goes; 409 for live ones",
    ),
    "security events and mails that its own people cause, a kind": (
        f"{EVENT.free}, then fewer and fewer down to one in {EVENT.ceiling_seconds // 60} minutes",
        "nothing is refused; it is not kept or mailed",
    ),
}
RATE = 1_000


def page() -> str:
    return render(
        Path(__file__).with_name("scaling.md.j2"),
        scaling=scaling,
        shards=len(LEASE_SHARDS),
        gpu_hour_usd=inputs.price("server_gpu_hour"),
        STREAM_SECONDS=STREAM_SECONDS,
        bounds=BOUNDS,
        RATE=RATE,
    )


if __name__ == "__main__":
    main(PAGE, page())
