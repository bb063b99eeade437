"""The interfaces that services need. Unit tests pass in-memory fakes, integration tests the real adapters."""
