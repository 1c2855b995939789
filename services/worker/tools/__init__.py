"""The agent's tools, one a file. A new tool is a file with a `TOOL`, and its row here.

One that only reads is a research's too, by itself.
"""

from services.core.records import RunState
from services.worker.tools import (
    ask,
    bash,
    cancel_step,
    edit,
    finish,
    github_find_examples,
    github_list_repos,
    github_read_file,
    plan,
    read,
    report,
    research,
    step_log,
    step_metrics,
    submit_step,
    wait_for_steps,
    web_fetch,
    web_search,
    write,
)
from services.worker.tools.tool import Toolbox

TOOLS: Toolbox = {
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
        research.TOOL,
        web_search.TOOL,
        web_fetch.TOOL,
        github_find_examples.TOOL,
        github_list_repos.TOOL,
        github_read_file.TOOL,
        cancel_step.TOOL,
        ask.TOOL,
        finish.TOOL,
    )
}


def toolbox(tools: Toolbox, state: RunState, *, is_last_turn: bool = False) -> Toolbox:
    """Those of `tools` that the run may use. A research reads and reports, and in its last turn only reports."""
    if state.parent is None:
        return tools
    reading = {} if is_last_turn else {name: tool for name, tool in tools.items() if tool.is_reading and not tool.waits}
    return {**reading, report.TOOL.name: report.TOOL}
