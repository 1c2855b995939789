"""Label images of digits: `python predict.py MODEL.npz IMAGES.npz OUT.npz`.

Reads the array `images` (n, 64), values 0..16, from IMAGES.npz and writes the array `labels` (n,)
to OUT.npz. Needs this file, the model and numpy; nothing else.
"""

import sys
from pathlib import Path

import numpy as np


def scale(images: np.ndarray) -> np.ndarray:
    """Bring pixel values 0..16 to 0..1, as the network is trained on."""
    return (images / 16.0).astype(np.float32)


def activations(parameters: list[np.ndarray], images: np.ndarray) -> list[np.ndarray]:
    """The input and each layer's output for `images` (n, 64), scaled to 0..1; the last are the logits.

    `parameters` are w0, b0, w1, b1, ... of fully connected layers with a ReLU between them.
    """
    values = [images]
    for index in range(0, len(parameters), 2):
        if index:
            np.maximum(values[-1], 0.0, out=values[-1])
        values.append(values[-1] @ parameters[index] + parameters[index + 1])
    return values


def load_parameters(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return [file[f"p{index}"] for index in range(len(file.files))]


def main(model: str, images: str, out: str) -> None:
    with np.load(images, allow_pickle=False) as file:
        pixels = scale(file["images"])
    labels = activations(load_parameters(Path(model)), pixels)[-1].argmax(axis=1)
    np.savez(out, labels=labels)
    print(f"labelled {len(labels)} images")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python predict.py MODEL.npz IMAGES.npz OUT.npz")
    main(*sys.argv[1:])
