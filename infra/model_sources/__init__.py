"""Makes model files of what other projects publish in a form of their own."""
