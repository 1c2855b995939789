"""Measure a model on the validation rows: `python evaluate.py MODEL.npz`.

It runs predict.py as its user would, in a process of its own, so what is measured is what is handed over.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import data
import numpy as np


def predicted(model: str, images: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as scratch:
        asked, answered = Path(scratch, "images.npz"), Path(scratch, "labels.npz")
        np.savez(asked, images=images)
        subprocess.run([sys.executable, "predict.py", model, str(asked), str(answered)], check=True)
        with np.load(answered, allow_pickle=False) as file:
            return file["labels"]


def main(model: str) -> None:
    images, labels = data.load()
    _, held_out = data.split(len(labels))
    right = predicted(model, images[held_out]) == labels[held_out]
    for digit in range(10):
        mine = labels[held_out] == digit
        print(f"digit {digit}: {right[mine].sum()} of {mine.sum()} correct")
    print(f"all: {right.sum()} of {len(right)} correct")
    print(f"val_accuracy={right.mean():.4f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python evaluate.py MODEL.npz")
    main(sys.argv[1])
