"""A training as they are: the loss falls, with noise, a spike and warnings that mean nothing."""

import random
import time
import warnings

random.seed(0)
for step in range(1, 101):
    time.sleep(0.04)
    loss = 5 / step**0.5 + random.uniform(0, 0.5) + (20 if step == 60 else 0)
    print(f"step={step} loss={loss:.4f} grad_norm={random.uniform(0, 9):.3f}", flush=True)
    if step % 40 == 0:
        warnings.warn("the tokenizer was called with a deprecated argument", stacklevel=1)
