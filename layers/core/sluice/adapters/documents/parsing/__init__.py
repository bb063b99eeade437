"""Text out of uploaded files. What is imported here costs nothing: the parsers live in a process of their own."""
