"""A read-out on random features. The features of a whole micro-batch are in memory at once."""

import argparse

import numpy as np

ROWS, INPUTS, FEATURES = 32_768, 8, 8_192

options = argparse.ArgumentParser()
options.add_argument("--batch-size", type=int, default=32_768)
options.add_argument("--accumulation-steps", type=int, default=1)
chosen = options.parse_args()

random = np.random.default_rng(0)
inputs = random.normal(size=(ROWS, INPUTS)).astype(np.float32)
targets = np.sin(inputs.sum(axis=1))
projection = random.normal(size=(INPUTS, FEATURES)).astype(np.float32)
readout = np.zeros(FEATURES, dtype=np.float32)

whole = chosen.batch_size * chosen.accumulation_steps
for update in range(ROWS // whole):
    gradient, squared = np.zeros_like(readout), 0.0
    for part in range(chosen.accumulation_steps):
        start = update * whole + part * chosen.batch_size
        rows = slice(start, start + chosen.batch_size)
        features = np.cos(inputs[rows] @ projection)
        errors = features @ readout - targets[rows]
        gradient += features.T @ errors / whole
        squared += float(errors @ errors) / whole
    readout -= 1e-4 * gradient
    print(f"step={update + 1} effective_batch={whole} loss={squared:.6f}", flush=True)
