"""Shortens log records about clients that time out."""

import logging


class QuietTimeouts(logging.Filter):
    """gunicorn logs a traceback for every client that stops in the middle of a request. One line is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keeps every record and removes the traceback of timeouts."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, BlockingIOError | TimeoutError):
            record.msg, record.args = "a client sent or read nothing until the timeout; its connection was closed", ()
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True
