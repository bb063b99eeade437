"""Calls of docs/api.md that do not exist yet. The list only shrinks: a test fails when one of them exists."""

NOT_BUILT: frozenset[str] = frozenset()
# On a local run only, so not in the document that AWS publishes too.
LOCAL_ONLY = frozenset({"GET /metrics", "GET /_local/outbox"})
