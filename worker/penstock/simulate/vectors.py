"""Embedding vectors: unit length, and the same for the same text."""

from __future__ import annotations

import base64
import math
import struct
from hashlib import shake_128


def embed(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 that depends on nothing but the text."""
    raw = shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    whole = struct.unpack(f"<{dimensions}h", raw)
    scale = 1 / (math.sqrt(sum(number * number for number in whole)) or 1.0)
    return [round(number * scale, 7) for number in whole]


def packed(vector: list[float]) -> str:
    """The vector as OpenAI's `encoding_format: base64` sends it: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
