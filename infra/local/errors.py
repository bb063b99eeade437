"""The error of a failed start."""


class LaunchError(Exception):
    """Why the system did not start, in sentences for the terminal."""
