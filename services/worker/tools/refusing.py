"""What a tool answers when the rules of the run refuse, and how evaluation data is put back."""

from collections.abc import Sequence

from services.core import events as ev
from services.core.rules import Rule
from services.worker.rules import told
from services.worker.rules.evaluation_data import altered_text
from services.worker.rules.gathering import altered_data, restored
from services.worker.tools.tool import Call, Result


def refused(call: Call, found: Sequence[ev.RuleRefused]) -> Result | None:
    """The refusals as the call's answer, each an event; None for none. Changed evaluation data is put back."""
    if not found:
        return None
    is_kept = any(one.rule == Rule.EVALUATION_DATA for one in found)
    changes = restored(altered_data(call.state, call.desk.workspace)) if is_kept else ()
    return Result(told(found), success=False, events=tuple(found), changes=changes)


def tampered(call: Call) -> Result | None:
    """What is said where evaluation data is not what the goal brought; None where it is, or that rule is waived."""
    lost = altered_data(call.state, call.desk.workspace) if call.state.rules.holds(Rule.EVALUATION_DATA) else []
    text = altered_text([entry.path for entry in lost])
    return refused(call, [ev.RuleRefused(rule=Rule.EVALUATION_DATA, text=text)] if lost else [])
