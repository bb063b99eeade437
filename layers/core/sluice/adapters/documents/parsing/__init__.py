"""Text extraction from uploaded files. Importing this is cheap, because the parsers run in a process of their own."""
