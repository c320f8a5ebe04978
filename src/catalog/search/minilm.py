"""The language model all-MiniLM-L6-v2, computed: texts in, vectors out that are near where texts mean the same.

The one importer of numpy and of the tokenizers, which are optional: `embedding` imports this in a thread where hybrid
search is on. Reads two files and nothing else: no network, and nothing of the package that ships them is run.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

from catalog.search.embedding import WIDTH, WrongModel

# As sentence-transformers published them (Apache-2.0): whoever packs them may change nothing.
WEIGHTS, WEIGHTS_SHA256 = "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WORDS, WORDS_SHA256 = "tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
# The model's own shape (its config.json).
LAYERS, HEADS = 6, 12
EPSILON = 1e-12
# Longer texts are cut: the model was made for so many pieces of words (its sentence_bert_config.json).
PIECES_MAX = 256

_HEAD_WIDTH = WIDTH // HEADS
# Rows of the widest layer that are worked on at once, so that they stay in the processor's cache.
_ROWS = 64

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


class Model:
    """The model with its weights, as they lie in the file: processes that read the same file share its memory."""

    def __init__(self, folder: Path) -> None:
        for name, expected in ((WEIGHTS, WEIGHTS_SHA256), (WORDS, WORDS_SHA256)):
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    raise WrongModel(f"{name} of the language model is not the published one.")
        self._weights = _read(folder / WEIGHTS)
        self._words = Tokenizer.from_file(str(folder / WORDS))
        self._words.no_padding()
        self._words.enable_truncation(PIECES_MAX)

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of length 1 for each text; takes some milliseconds for a short one."""
        # Several threads would wait for each other whenever the machine has something else to do.
        with threadpool_limits(1, user_api="blas"):
            return [self._vector(one.ids).tolist() for one in self._words.encode_batch(list(texts))]

    def _vector(self, pieces: Sequence[int]) -> Array:
        """Return the mean of what the pieces mean in their sentence (Devlin et al. 2018; Reimers and Gurevych 2019)."""
        told = self._weights["embeddings.word_embeddings.weight"][list(pieces)]
        told = told + self._weights["embeddings.position_embeddings.weight"][: len(pieces)]
        told = self._normed(told + self._weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for number in range(LAYERS):
            layer = f"encoder.layer.{number}"
            heard = self._times(self._attended(told, layer), f"{layer}.attention.output.dense")
            told = self._normed(heard + told, f"{layer}.attention.output.LayerNorm")
            wide = _gelu(self._times(told, f"{layer}.intermediate.dense"))
            told = self._normed(self._times(wide, f"{layer}.output.dense") + told, f"{layer}.output.LayerNorm")
        mean: Array = told.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _attended(self, told: Array, layer: str) -> Array:
        asked, known, meant = (
            self._times(told, f"{layer}.attention.self.{name}").reshape(-1, HEADS, _HEAD_WIDTH).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        # In one piece of memory: numpy multiplies anything else by a slow way of its own.
        weight = np.ascontiguousarray(asked) @ np.ascontiguousarray(known.transpose(0, 2, 1))
        weight /= np.float32(math.sqrt(_HEAD_WIDTH))
        weight = np.exp(weight - weight.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        heard: Array = (weight @ np.ascontiguousarray(meant)).transpose(1, 0, 2).reshape(-1, WIDTH)
        return heard

    def _times(self, told: Array, name: str) -> Array:
        product: Array = told @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return product

    def _normed(self, told: Array, name: str) -> Array:
        off = told - told.mean(axis=-1, keepdims=True)
        spread = np.sqrt((off * off).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        normed: Array = off / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return normed


def _gelu(wide: Array) -> Array:
    """Return x times the share of a normal distribution below x, to 7 digits (Abramowitz and Stegun, 7.1.26)."""
    told = np.empty_like(wide)
    for row in range(0, len(wide), _ROWS):
        some = wide[row : row + _ROWS]
        size = np.abs(some)
        z = size * np.float32(math.sqrt(0.5))
        t = 1 / (1 + np.float32(0.3275911) * z)
        tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        told[row : row + _ROWS] = np.maximum(some, 0) - size * (tail * np.exp(-z * z)) / 2
    return told


def _read(file: Path) -> dict[str, Array]:
    """Return the arrays of a file in the format safetensors: a length, a JSON header, and the numbers."""
    held = np.memmap(file, dtype=np.uint8, mode="r")
    begin = 8 + int.from_bytes(held[:8].tobytes(), "little")
    header = json.loads(held[8:begin].tobytes())
    arrays = {}
    for name, told in header.items():
        if told.get("dtype") == "F32":
            first, last = (begin + offset for offset in told["data_offsets"])
            arrays[name] = np.frombuffer(held[first:last], dtype=np.float32).reshape(told["shape"])
    return arrays
