"""A step's program that says what time it is: LINES times, ten a second, at its end, and when it is told to end."""

import os
import signal
import sys
import time


def say(what: str) -> None:
    # Not by print: a signal may come in the middle of one.
    os.write(1, f"{what} at {time.time()}\n".encode())


def told(*_: object) -> None:
    say("told")
    sys.exit(0)


signal.signal(signal.SIGTERM, told)
for _ in range(int(sys.argv[1])):
    say("printed")
    time.sleep(0.1)
say("ended")
