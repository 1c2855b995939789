"""The digits data set and its one split into training and validation rows."""

from pathlib import Path

import numpy as np

DATA = Path("data/digits-train.npz")
VALIDATION_SHARE = 0.2
SPLIT_SEED = 20


def load(path: Path = DATA) -> tuple[np.ndarray, np.ndarray]:
    """Read (images, labels): images float (n, 64) with values 0..16, labels int64 (n,)."""
    with np.load(path, allow_pickle=False) as file:
        return file["images"], file["labels"].astype(np.int64)


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of (training, validation). Always the same for the same count, so that an
    evaluation in another process uses exactly the rows that training left out."""
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    held_out = round(count * VALIDATION_SHARE)
    return order[held_out:], order[:held_out]
