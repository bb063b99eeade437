"""Model files: where they come from, what they are, and a first answer. `sluice model` without command-line code."""
