"""Builds use cases and adapters from the settings, once a process, and imports only those that a function uses."""
