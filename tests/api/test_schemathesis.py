"""What nobody thought of: requests made up from the OpenAPI document, valid and not, on every route.

Half of them go to a run and an attempt that exist, so that they get further than the first look-up.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.core import events as ev
from services.core.lifecycle import Status
from services.core.store import Draft
from services.core.tokens import issue
from tests.api.conftest import SECRET, Api, openapi_document
from tests.core.submitted import accept_run, submit_attempt

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture
def target(api: Api) -> dict[str, str]:
    """A run that is over, so that its streams end, with an attempt that is not, so that its runner is heard."""
    run = accept_run(api.parts.store, snapshot=api.parts.workspace.import_files({"train/model.bin": b"x"}))
    attempt = submit_attempt(api.parts.store, run=run)
    for target in (Status.CANCELLING, Status.CANCELLED):
        changed = ev.StatusChanged(source=api.parts.store.state(run).status, target=target)
        api.parts.store.record(run, target, lambda _, changed=changed: Draft((changed,)))
    _, key = api.parts.api_keys.create("acme", ["admin"], "made up")  # type: ignore[list-item]
    api.parts.logs.append(attempt, 0, b"text")
    return {"run": run, "attempt": attempt, "key": key, "token": issue(SECRET, attempt, 4e9)}


schema = schemathesis.openapi.from_dict(openapi_document())


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_makes_the_api_fail(case: schemathesis.Case, api: Api, target: dict[str, str]) -> None:
    known = case.path_parameters or {}
    if sum(map(ord, str(case.body) + str(case.query))) % 2 == 0:
        case.path_parameters = known | {name: target[name] for name in known if name in target}
    if "step" in known:
        case.path_parameters["step"] = "train"
    credential = target["token"] if "/internal/" in case.path else target["key"]
    if case.path.endswith("/log/stream"):
        # The attempt lives, and its stream with it.
        case.path_parameters["step"] = "none"
    case.call_and_validate(
        base_url=api.server.url, headers={"Authorization": f"Bearer {credential}"}, checks=CHECKS, timeout=30
    )
