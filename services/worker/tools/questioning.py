"""What is answered to an agent that says it is done, and is not."""

from collections.abc import Sequence

from services.core import events as ev
from services.core.records import RunState
from services.worker.tools.tool import Result

# After so many questions a claim that does not hold ends the run.
_QUESTIONS = 2


def questioned(state: RunState, problems: Sequence[str], advice: str) -> Result:
    """A question at first, with `advice` on what to do; the end of the run in the end."""
    told = "\n- ".join(problems)
    if state.questioned >= _QUESTIONS:
        return Result(f"the run ends as incomplete:\n- {told}", success=False, incomplete="; ".join(problems))
    text = f"not finished:\n- {told}\n{advice}"
    return Result(text, success=False, events=(ev.CompletionQuestioned(problems=list(problems)),))
