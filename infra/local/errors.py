"""What the launcher says when it cannot start."""


class LaunchError(Exception):
    """Why the system did not start: sentences for the person at the terminal."""
