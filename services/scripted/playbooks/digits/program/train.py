"""Train the digit classifier: `python train.py --out DIRECTORY` writes DIRECTORY/model.npz.

Prints one line per epoch. The validation rows (data.split) are only looked at: never trained on and
never used to choose anything, so their accuracy is an honest estimate.
"""

import argparse
from pathlib import Path

import data
import numpy as np
from augment import Warp
from network import Adam, Network
from predict import scale

BATCH = 64
EPOCHS = 160
WARM_UP_EPOCHS = 4  # On the images as they are, until the network has a first idea of the digits.
LEARNING_RATE = 1e-3  # Falls linearly to zero.
SMOKE_EPOCHS = 6
SMOKE_ROWS = 512


def train(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray, held_out: np.ndarray, epochs: int, seed: int
) -> Network:
    """Train on `rows` of the images (scaled to 0..1), report the accuracy on `held_out` after each epoch."""
    rng = np.random.default_rng(seed)
    network = Network(rng)
    adam = Adam(network.parameters)
    warp = Warp(BATCH, rng)
    for epoch in range(1, epochs + 1):
        learning_rate = LEARNING_RATE * (1 - (epoch - 1) / epochs)
        order = rng.permutation(rows)
        losses = []
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            inputs = warp(images[batch]) if epoch > WARM_UP_EPOCHS else images[batch]
            loss, gradients = network.gradients(inputs, labels[batch])
            adam.step(gradients, learning_rate)
            losses.append(loss)
        accuracy = (network.predict(images[held_out]) == labels[held_out]).mean()
        print(f"epoch={epoch} step={adam.steps} loss={np.mean(losses):.4f} val_accuracy={accuracy:.4f}", flush=True)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory for model.npz, made if missing")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few epochs on a few rows, to see that it runs")
    options = parser.parse_args()

    images, labels = data.load()
    rows, held_out = data.split(len(labels))
    epochs = options.epochs
    if options.smoke:
        rows, epochs = rows[:SMOKE_ROWS], SMOKE_EPOCHS
    print(f"{len(rows)} rows to train on, {len(held_out)} held out, {epochs} epochs, seed {options.seed}", flush=True)
    network = train(scale(images), labels, rows, held_out, epochs, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    network.save(options.out / "model.npz")
    print("smoke test passed" if options.smoke else f"saved {options.out / 'model.npz'}", flush=True)


if __name__ == "__main__":
    main()
