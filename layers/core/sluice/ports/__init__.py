"""What the services ask of the outside. Unit tests pass in-memory fakes, integration tests the real adapters."""
