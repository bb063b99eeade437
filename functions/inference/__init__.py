"""The inference server: llama.cpp behind Flask, with an engine of its own (continuous batching, one decode thread).

It imports nothing of `sluice`: the same folder is the whole content of the container image.
"""
