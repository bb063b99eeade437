"""Continuous batching: the queue, the slots, and the decode thread that serves them."""
