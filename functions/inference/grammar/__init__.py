"""JSON schema to llama.cpp's grammar format, GBNF."""
