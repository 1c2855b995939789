"""A regression on the logarithms of its features, a hundredth of an epoch at a time."""

import math

import numpy as np

random = np.random.default_rng(0)
weights, scale = np.zeros(4), np.array([0.5, -0.3, 0.2, 0.1])

for step in range(1, 301):
    sizes = random.uniform(0.5, 2.0, size=(16, 4))
    if step == 200:
        sizes[3, 1] = 0.0
    features = np.log(sizes)
    errors = features @ weights - np.log1p(sizes) @ scale
    weights -= 0.05 * features.T @ errors / len(errors)
    loss = float(np.mean(errors**2))
    print(f"step={step} loss={loss:.6f}", flush=True)
    if not math.isfinite(loss):
        raise FloatingPointError(f"loss is {loss} at step {step}")
print("done", flush=True)
