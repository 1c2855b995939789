"""Which calls of a reply run side by side."""

import pytest

from services.worker.calls import groups
from services.worker.tools import TOOLS
from tests.worker.states import open_call


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ("", ""),
        ("bash", "bash"),
        ("bash bash read", "bash+bash+read"),
        ("write bash", "write bash"),
        ("bash write bash bash", "bash write bash+bash"),
        ("write write", "write write"),
        ("read edit read read finish", "read edit read+read finish"),
        ("wait_for_steps bash", "wait_for_steps bash"),
        ("research read research bash", "research+read+research+bash"),
        ("wait_for_steps research research", "wait_for_steps+research+research"),
        ("research wait_for_steps", "research+wait_for_steps"),
        ("wait_for_steps research bash", "wait_for_steps+research bash"),
        ("bash research wait_for_steps", "bash+research wait_for_steps"),
        ("write research submit_step", "write research submit_step"),
        ("step_log step_metrics read bash plan", "step_log+step_metrics+read+bash plan"),
    ],
)
def test_neighbours_that_may_run_at_once_stand_together(tools: str, expected: str) -> None:
    calls = [open_call(tool, index) for index, tool in enumerate(tools.split())]

    ordered = groups(calls, TOOLS)

    assert " ".join("+".join(call.tool for call in group) for group in ordered) == expected
    assert [call for group in ordered for call in group] == calls
