"""Tools in the hands of a person: used as the agent would, without a run, a store or a model."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from services.core.errors import BadRequest
from services.core.events import RunAccepted
from services.core.fold import first_state
from services.core.hints import CeleryHints, celery_app
from services.core.keys import new_run_id
from services.core.monitoring.instruments import Registry
from services.core.records import Limits
from services.core.settings import WorkerSettings
from services.core.workspace import EMPTY
from services.worker.app import build_desk, build_store
from services.worker.calls import problems
from services.worker.tools import TOOLS
from services.worker.tools.tool import Call, Park, Result, Tool

_TENANT = "local"


def tool_named(name: str) -> Tool[Any]:
    """The tool, if a person can use it. Raises `BadRequest` that names those there are."""
    usable = [tool.name for tool in TOOLS.values() if not tool.is_of_a_run]
    if name not in TOOLS:
        raise BadRequest(f"there is no tool {name!r}; those that need no run are: {', '.join(usable)}", "name")
    if name not in usable:
        raise BadRequest(
            f"{name} works on a run, which an agent has; without one there are: {', '.join(usable)}", "name"
        )
    return TOOLS[name]


def use(tool: Tool[Any], arguments: str, settings: WorkerSettings, directory: Path) -> Result:
    """What the tool answers. Whole answers, and what was fetched, are kept in `directory`. Raises `BadRequest` for
    arguments that are none, and what the tool raises."""
    try:
        given = tool.parameters.model_validate(json.loads(arguments))
    except ValidationError as error:
        raise BadRequest(problems(error), "arguments") from error
    except ValueError as error:
        raise BadRequest(f"the arguments are no JSON: {error}", "arguments") from error
    here = settings.model_copy(update={"state_dir": directory, "artifact_url": f"file://{directory}/artifacts"})
    app = celery_app(here.broker_url)
    desk = build_desk(here, build_store(here, Registry("tools")), CeleryHints(app))
    accepted = RunAccepted(tenant=_TENANT, goal="by hand", model="none", limits=Limits(), labels={}, snapshot=EMPTY)
    call = Call(id=uuid4().hex, state=first_state(new_run_id(), accepted, time.time()), desk=desk)
    try:
        outcome = tool.run(call, given)
    finally:
        desk.outside.web.close()
        app.close()
    if isinstance(outcome, Park):
        raise BadRequest(f"{tool.name} waits for something of a run", "name")
    return outcome
