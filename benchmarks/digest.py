"""Digests: bytes a second of one core, on a log as small as most and on one that is large."""

import random
import time

from benchmarks.figures import Figure, figure
from services.core.digest import Verdict, digest

_ROUNDS = 5
_FAILED = Verdict("failed", 1, "exit code 1", step="train")
_TRACEBACK = b"""Traceback (most recent call last):
  File "/job/train.py", line 31, in <module>
    loss = model(batch)
  File "/opt/venv/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1778, in _wrapped_call_impl
    return self._call_impl(*args, **kwargs)
RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x784 and 512x10)
"""


def measure() -> list[Figure]:
    small, large = training(1 << 20), training(64 << 20)
    digest([small], _FAILED)
    return [
        figure("digest of a log of 1 MiB", "MB/s", [_rate(small) for _ in range(_ROUNDS * 4)], bar=20, bound="least"),
        figure("digest of a log of 64 MiB", "MB/s", [_rate(large) for _ in range(_ROUNDS)], bar=20, bound="least"),
    ]


def training(size: int) -> bytes:
    """A log as trainers write it: a bar that rewrites itself, lines of steps, evaluations, warnings, and its end."""
    pick, pieces, length, step = random.Random(7), [], 0, 0
    while length < size:
        step += 1
        loss = 2 / (1 + step / 500) + pick.random() / 10
        piece = (
            f"\rEpoch {step // 500}:  {step % 500 // 5:2d}%|{'█' * (step % 10)}| {step % 500}/500 [{step / 9:.2f}it/s]"
        )
        if step % 5 == 0:
            clock = f"12:{step // 60 % 60:02d}:{step % 60:02d},{step % 1000:03d}"
            piece += f"\n2026-03-01 {clock} INFO train: step={step} loss={loss:.4f} lr={1e-3 / step:.2e}\n"
        if step % 500 == 0:
            piece += f"eval: epoch={step // 500} val_loss={loss * 1.1:.4f} accuracy={1 - loss / 3:.4f}\n"
        if step % 97 == 0:
            piece += (
                f"W0301 12:00:00.{step:06d} 77 loader.cc:12] slow shard {pick.randrange(10_000)}: cannot prefetch\n"
            )
        pieces.append(piece.encode())
        length += len(pieces[-1])
    return b"".join(pieces) + b"\n" + _TRACEBACK


def _rate(log: bytes) -> float:
    began = time.process_time()
    digest([log], _FAILED)
    return len(log) / 1e6 / (time.process_time() - began)
