"""Use cases of mails: queue, send, throttle, suppress."""
