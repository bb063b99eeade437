"""Pages of usage and of the request log, also as CSV."""
