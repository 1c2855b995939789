"""The agent's tools, one a file. A new tool is a file with a `TOOL`, and its row here."""

from typing import Any

from services.worker.tools import (
    ask,
    bash,
    cancel_step,
    edit,
    finish,
    plan,
    read,
    step_log,
    step_metrics,
    submit_step,
    wait_for_steps,
    write,
)
from services.worker.tools.tool import Tool

TOOLS: dict[str, Tool[Any]] = {
    tool.name: tool
    for tool in (
        read.TOOL,
        write.TOOL,
        edit.TOOL,
        bash.TOOL,
        plan.TOOL,
        submit_step.TOOL,
        wait_for_steps.TOOL,
        step_log.TOOL,
        step_metrics.TOOL,
        cancel_step.TOOL,
        ask.TOOL,
        finish.TOOL,
    )
}
