"""The shipped playbooks call the worker's tools as they are."""

import json
from typing import Any

import pytest

from services.scripted.loading import load_playbooks
from services.scripted.placeholders import fill, names_in
from services.scripted.playbook import Call
from services.worker.tools import TOOLS
from tests.scripted.conversations import SHIPPED

CALLS = [
    pytest.param(call, id=f"{name}-{state}-{call.tool}-{index}")
    for name, playbook in load_playbooks(SHIPPED).items()
    for state, said in playbook.states.items()
    for index, call in enumerate(said.call)
]


@pytest.mark.parametrize("call", CALLS)
def test_the_calls_of_shipped_playbooks_fit_their_tools(call: Call) -> None:
    arguments: Any = fill(call.arguments, dict.fromkeys(names_in(call.arguments), "25"))

    TOOLS[call.tool].parameters.model_validate_json(json.dumps(arguments))
