"""Structured logs: events in the past tense, ids always, secrets never.

Each line on stderr is one event, those of the libraries too. What a process is at work on is bound once, with `about`,
and stands on every line until then.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.core.keys import run_of_attempt, split_rank, step_of_attempt


def configure(service: str, level: str, form: str, **ids: str) -> None:
    """Set up logging for this process, once, in `__main__`. `form` is json or console, `ids` stand on every line."""
    lines: Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    named: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _of({"service": service, **ids}),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_attempt,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*named, lines],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *named],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, lines],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[theirs], force=True)


def about(**ids: str) -> AbstractContextManager[object]:
    """Name on every line of this context what it is about: `run`, `tenant`, `attempt`, `request`."""
    return structlog.contextvars.bound_contextvars(**ids)


def from_now_on(**ids: str) -> None:
    """The same until the end of the task that this is called in: for a request, as soon as it is known whose it is."""
    structlog.contextvars.bind_contextvars(**ids)


def name_attempt(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the run and the step that an attempt's name holds, so that one search finds all of a run."""
    attempt = event.get("attempt")
    if isinstance(attempt, str) and attempt:
        whole = split_rank(attempt)[0]
        event.setdefault("run", run_of_attempt(whole))
        event.setdefault("step", step_of_attempt(whole))
    return event


def _of(ids: Mapping[str, str]) -> Processor:
    """A processor that adds these. Not bound to the context: other threads have another one."""

    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**ids, **event}

    return add
