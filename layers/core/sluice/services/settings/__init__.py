"""Use cases of the owner's settings."""
