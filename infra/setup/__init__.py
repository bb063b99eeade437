"""Builds `.venv` and installs the store. It uses only the standard library, because it installs all other packages."""
