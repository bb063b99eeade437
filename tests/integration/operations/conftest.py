"""`town`: every function's blueprint in one process, on the session's store, with a scripted model."""

from tests.integration.operations.town import town

__all__ = ["town"]
