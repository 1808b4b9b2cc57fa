"""Embeds movies with a model of its own: latent semantic analysis of their descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer

MOVIES = Path(__file__).with_name("data") / "movies.jsonl"
DIMENSIONS = 64

model: Pipeline
"""Of this process, from `load`."""


def load() -> None:
    """Make the model ready, once in every process. A stored one would be read from its file."""
    global model
    texts = [text_of(json.loads(line)) for line in MOVIES.read_text().splitlines()]
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, stop_words="english"),
        TruncatedSVD(DIMENSIONS, algorithm="arpack", random_state=0),
        Normalizer(),
    )
    model.fit(texts)


def embed(item: dict[str, Any]) -> np.ndarray:
    """A vector of length 1."""
    vector: np.ndarray = model.transform([text_of(item)])[0]
    return vector


def text_of(item: dict[str, Any]) -> str:
    """What the model reads of a movie."""
    return f"{item['title']}\n{', '.join(item['genres'])}\n{item['overview']}"
