"""Model files: catalogue, checks, memory, chat template, and loading them into an engine."""
