"""The step's program: it says who it is, prints a log that is known beforehand, and leaves a file.

It stops half-way as long as PLACE/hold exists. Two of a run at once are noticed by the lock they share.
"""

import fcntl
import hashlib
import os
import sys
import time
from pathlib import Path

LINES = 2_000
VERSION = "UNEDITED"


def log_of(attempt: str) -> tuple[bytes, bytes]:
    """The two halves of what an attempt prints: lines that differ, and bytes that are no text."""
    lines = [
        f"{attempt} {number:05d} {hashlib.sha256(f'{attempt}{number}'.encode()).hexdigest()}" for number in range(LINES)
    ]
    first = "\n".join(lines).encode() + b"\n"
    last = (
        b"\xff\xfe\x00 no text\r 50%\r 100%\n"
        + "".join(f"step={n} loss={1 / (n + 1):.4f}\n" for n in range(20)).encode()
    )
    return first, last


def main(place: Path) -> None:
    attempt = os.environ["COHORT_ATTEMPT"]
    run = os.environ["COHORT_RUN"]
    with (
        (place / f"{run}.running").open("w") as lock,
        (place / f"{run}.executions").open("a", buffering=1) as executions,
    ):
        executions.write(f"begun {attempt} {VERSION}\n")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            executions.write(f"overlap {attempt} {VERSION}\n")
        first, last = log_of(attempt)
        sys.stdout.buffer.write(first)
        sys.stdout.buffer.flush()
        while (place / "hold").exists():
            time.sleep(0.01)
        sys.stdout.buffer.write(last)
        sys.stdout.buffer.flush()
        Path(os.environ["COHORT_CHECKPOINT_DIR"], "state.txt").write_text(f"saved by {attempt}\n")
        Path(os.environ["COHORT_OUTPUT_DIR"], "model.txt").write_text(f"trained by {attempt}\n")
        executions.write(f"ended {attempt} {VERSION}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
