"""`helm test`: is the API ready, does it know the key, and does a goal come to its end? Exit code 0 if so.

Runs alone, in the image of the API. With no model it runs no goal.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import httpx

_READY_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_FINAL = {"succeeded", "failed", "cancelled", "timed_out", "over_limit", "needs_human"}


def main() -> int:
    """Say what is seen, line by line."""
    options = _options()
    headers = {"Authorization": f"Bearer {os.environ['COHORT_KEY']}"}
    with httpx.Client(base_url=options.url, headers=headers, timeout=40) as api:
        try:
            _await_ready(api)
            print(f"the key is one of tenant {_asked(api, 'GET', '/v1/whoami')['tenant']}", flush=True)
            if not options.model:
                print("no model is named (tests.model), so no goal is run", flush=True)
                return 0
            return _run(api, options.model, options.goal, time.monotonic() + options.seconds)
        except (httpx.HTTPError, TimeoutError) as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", default="")
    parser.add_argument("--goal", required=True)
    parser.add_argument("--seconds", type=float, default=300.0)
    return parser.parse_args()


def _await_ready(api: httpx.Client) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            if api.get("/readyz").is_success:
                print("the API is ready", flush=True)
                return
        except httpx.TransportError as error:
            print(f"the API does not answer: {error}", flush=True)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the API was not ready within {_READY_SECONDS:g} s")
        time.sleep(_PAUSE_SECONDS)


def _run(api: httpx.Client, model: str, goal: str, deadline: float) -> int:
    run = _asked(api, "POST", "/v1/runs", json={"goal": goal, "model": model})["run"]
    print(f"run {run} is submitted", flush=True)
    while time.monotonic() < deadline:
        state = _asked(api, "GET", f"/v1/runs/{run}", params={"wait": 20})
        if state["status"] in _FINAL:
            print(f"run {run}: {state['status']} {state.get('reason') or ''}", flush=True)
            return 0 if state["status"] == "succeeded" else 1
    raise TimeoutError(f"run {run} came to no end in time")


def _asked(api: httpx.Client, method: str, path: str, **request: Any) -> Mapping[str, Any]:
    response = api.request(method, path, **request)
    response.raise_for_status()
    answer: Mapping[str, Any] = response.json()
    return answer


if __name__ == "__main__":
    sys.exit(main())
