"""Keeps expected trouble with clients out of the log's way."""

import logging


class QuietTimeouts(logging.Filter):
    """gunicorn logs a traceback for every client who stops in the middle; a line says as much."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record, only its traceback."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, BlockingIOError | TimeoutError):
            record.msg, record.args = "a client neither sent nor took anything for too long and was dropped", ()
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True
