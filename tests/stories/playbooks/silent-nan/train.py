"""Gradient descent on a parabola that is steeper than its learning rate allows."""

import sys

rate, weight = float(sys.argv[1]), 10.0
for step in range(1, 1201):
    gradient = 2 * weight
    weight -= rate * gradient
    print(f"step={step} loss={weight * weight:.6g}", flush=True)
