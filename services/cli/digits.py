"""The demo's own judge: it keeps a fifth of the digits to itself and measures the delivered model on them.

The hidden labels never leave this process. The delivered predict.py runs in a process of its own that gets the images,
no secrets and no way to see the labels; whatever it answers is only compared with them.
"""

import io
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.plain import one_line
from services.cli.problems import Usage
from services.core.errors import CohortError

HIDDEN_SHARE = 0.2
SEED = 2024
PREDICT_SECONDS = 60


class NotAsAgreed(CohortError):
    """What was delivered does not do what the goal asked it to do."""


@dataclass(frozen=True)
class Digits:
    """The data set in two: what the agent gets, as the bytes of an .npz, and what it never sees."""

    given: bytes
    given_count: int
    images: Any
    labels: Any


def split() -> Digits:
    """Split the 1,797 digits of scikit-learn, stratified by class; the same split every time."""
    try:
        # Slow imports behind their door: only the demo needs them.
        import numpy as np
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise Usage("the demo needs scikit-learn; install it with: pip install 'cohort[demo]'") from error
    images, labels = load_digits(return_X_y=True)
    given, hidden, given_labels, hidden_labels = train_test_split(
        images, labels, test_size=HIDDEN_SHARE, stratify=labels, random_state=SEED
    )
    file = io.BytesIO()
    np.savez(file, images=given, labels=given_labels)
    return Digits(file.getvalue(), len(given), hidden, hidden_labels)


def accuracy(digits: Digits, model: Path, predict: Path) -> float:
    """The share of hidden images that the delivered program labels right with the model. Raises `NotAsAgreed`."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="cohort-judge-") as scratch:
        asked, answered = Path(scratch, "images.npz"), Path(scratch, "labels.npz")
        np.savez(asked, images=digits.images)
        _run(scratch, predict, model, asked, answered)
        try:
            with np.load(answered, allow_pickle=False) as file:
                labels = file["labels"]
        except (OSError, ValueError, KeyError) as error:
            raise NotAsAgreed(f"predict.py wrote no array `labels`: {one_line(str(error), 200)}") from error
    if labels.shape != digits.labels.shape:
        raise NotAsAgreed(f"predict.py wrote labels of shape {labels.shape} for {len(digits.labels)} images")
    return float((labels == digits.labels).mean())


def _run(scratch: str, *arguments: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": scratch, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", *(str(argument.absolute()) for argument in arguments)]
    try:
        done = subprocess.run(
            command,
            cwd=scratch,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PREDICT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotAsAgreed(f"predict.py did not answer within {PREDICT_SECONDS} s") from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotAsAgreed(f"predict.py failed with exit code {done.returncode}: {one_line(last, 300)}")
