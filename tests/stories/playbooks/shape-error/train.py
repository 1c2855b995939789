"""A network of two layers on synthetic digits."""

import numpy as np

ROWS, PIXELS, HIDDEN, CLASSES = 512, 64, 32, 10

random = np.random.default_rng(0)
images = random.normal(size=(ROWS, PIXELS))
labels = (images @ random.normal(size=(PIXELS, CLASSES))).argmax(axis=1)
first = random.normal(scale=0.1, size=(PIXELS, HIDDEN))
second = random.normal(scale=0.1, size=(PIXELS, CLASSES))

for epoch in range(1, 31):
    hidden = np.maximum(images @ first, 0)
    scores = hidden @ second
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    loss = -np.log(chances[np.arange(ROWS), labels]).mean()
    chances[np.arange(ROWS), labels] -= 1
    back = (chances @ second.T) * (hidden > 0)
    second -= 0.5 * hidden.T @ chances / ROWS
    first -= 0.5 * images.T @ back / ROWS
    print(f"epoch={epoch} loss={loss:.6f}", flush=True)
