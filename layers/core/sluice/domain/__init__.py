"""Rules as pure functions and values: no store, web framework, clock or environment."""
