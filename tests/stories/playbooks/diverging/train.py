"""A descent that bounces off; it does not look at its own loss, and would go on for ever."""

import itertools
import time

RATE = 2.5

weight = 1.0
for step in itertools.count(1):
    gradient = 2 * weight
    weight -= RATE * gradient
    loss = float("nan") if abs(weight) > 1e12 else weight * weight
    print(f"step={step} loss={loss:.6g}", flush=True)
    if RATE < 1 and step == 40:
        break
    time.sleep(0.02)
