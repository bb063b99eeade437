"""How many bytes a tensor of a GGUF file has."""

BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip
"""By ggml's type: the values of a block, and its bytes."""


KV_TYPES = {"f16": 1, "q8_0": 8, "q4_0": 2}
"""ggml's types for the keys and values of a context, by the names of the setting."""


def tensor_bytes(kind: int, values: int) -> int:
    """0 for a type that is not known, such as one of a newer version."""
    per_block, size_bytes = BLOCKS.get(kind, (1, 0))
    return -(-values // per_block) * size_bytes
