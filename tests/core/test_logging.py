import json
import subprocess
import sys

from services.core.logging import name_attempt
from tests.servers import bound_to_us

PROGRAM = """
import logging, threading
from contextvars import copy_context
import structlog
from services.core.logging import about, configure

configure("worker", "info", "json", attempt="r0123456789ab-train-2.1")
log = structlog.get_logger()
log.info("begun")
with about(run="r000000000000", tenant="acme", attempt=""):
    log.info("at_work")
    for call in (log.info, logging.getLogger("some.library").error):
        thread = threading.Thread(target=copy_context().run, args=(call, "elsewhere"))
        thread.start()
        thread.join()
thread = threading.Thread(target=log.info, args=("alone",))
thread.start()
thread.join()
try:
    raise ValueError("two\\nlines")
except ValueError:
    log.exception("failed")
logging.getLogger("some.library").warning("told %s", "so")
"""


def lines() -> list[dict[str, str]]:
    command = bound_to_us([sys.executable, "-c", PROGRAM])
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_every_line_is_json_and_says_whose_it_is_those_of_other_threads_and_of_libraries_too() -> None:
    begun, at_work, elsewhere, library, alone, failed, told = lines()
    assert {line["service"] for line in (begun, at_work, elsewhere, library, alone, failed, told)} == {"worker"}
    for line in (begun, alone, failed, told):
        assert (line["run"], line["step"]) == ("r0123456789ab", "train")
        assert "tenant" not in line
    for line in (at_work, elsewhere, library):
        assert (line["run"], line["tenant"]) == ("r000000000000", "acme")
        assert "step" not in line
    assert (told["event"], told["level"], told["logger"]) == ("told so", "warning", "some.library")
    assert "ValueError: two\nlines" in failed["exception"]
    assert all(line["timestamp"].endswith("Z") for line in (begun, told))


def test_an_attempt_names_its_run_and_its_step_but_what_was_said_stands() -> None:
    named = name_attempt(None, "info", {"event": "x", "attempt": "r0123456789ab-a-b-12"})
    assert (named["run"], named["step"]) == ("r0123456789ab", "a-b")
    said = name_attempt(None, "info", {"event": "x", "attempt": "r0123456789ab-a-1", "run": "other"})
    assert said["run"] == "other"
    assert name_attempt(None, "info", {"event": "x"}) == {"event": "x"}
