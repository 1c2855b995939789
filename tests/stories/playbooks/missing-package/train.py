"""A running mean, written down with the package `curves`."""

import curves

values = [1.0, 0.7, 0.5, 0.4, 0.3]
for step, value in enumerate(curves.smooth(values), start=1):
    print(f"step={step} loss={value:.4f}", flush=True)
