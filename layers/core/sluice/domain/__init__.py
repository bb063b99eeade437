"""Rules: pure functions and values. No store, no web framework, no clock, no environment."""
