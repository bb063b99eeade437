from tests.integration.operations.town import town

__all__ = ["town"]
