"""Train the digit classifier: `python train.py --out DIRECTORY` writes DIRECTORY/model.npz.

Prints one line per epoch. The validation rows (data.split) are only looked at, never trained on
and never used to choose anything, so their accuracy is an honest estimate.
"""

import argparse
from pathlib import Path

import numpy as np

import data
from network import Adam, Network

BATCH = 64
WARM_UP_EPOCHS = 4  # Without shifts, so that the first steps see the digits where they usually are.
LEARNING_RATE = 1e-3
SMOKE_ROWS = 512
SMOKE_EPOCHS = 6


def shift(images: np.ndarray, rng: np.random.Generator) -> None:
    """Move each image in place by up to one pixel, what leaves the 8x8 grid comes back as zeros."""
    for index, (down, right) in enumerate(rng.integers(-1, 2, (len(images), 2))):
        padded = np.zeros((10, 10), dtype=np.float32)
        padded[1:9, 1:9] = images[index].reshape(8, 8)
        images[index] = padded[1 - down : 9 - down, 1 - right : 9 - right].ravel()


def train(images: np.ndarray, labels: np.ndarray, validation: np.ndarray, training: np.ndarray, options: argparse.Namespace) -> Network:
    """Train on the rows `training`, report on the rows `validation`; returns the last epoch's network."""
    rng = np.random.default_rng(options.seed)
    network = Network.random(rng)
    adam = Adam(network.parameters)
    shifted = np.empty((BATCH, images.shape[1]), dtype=np.float32)
    for epoch in range(1, options.epochs + 1):
        losses = []
        learning_rate = LEARNING_RATE * (1.0 - (epoch - 1) / options.epochs)
        order = rng.permutation(training)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = images[rows]
            if epoch > WARM_UP_EPOCHS:
                shifted[:] = batch
                shift(shifted, rng)
                batch = shifted
            loss, gradients = network.gradients(batch, labels[rows])
            adam.step(gradients, learning_rate)
            losses.append(loss)
        accuracy = (network.predict(images[validation]) == labels[validation]).mean()
        print(f"epoch={epoch} step={adam.steps} loss={np.mean(losses):.4f} val_accuracy={accuracy:.4f}", flush=True)
    return network


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    images, labels = data.load()
    training, validation = data.split(len(labels))
    net = train(images, labels, validation, training, options)
    net.save(options.out / "model.npz")

if __name__ == "__main__":
    main()
