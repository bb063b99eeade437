"""Builds `.venv` and brings the store. Runs before anything is installed: the standard library only."""
