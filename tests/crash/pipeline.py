"""The API as a pipeline uses it: a request is sent again until it is answered, under a key that makes it the same."""

from typing import Any

import httpx

from services.core.apikeys import ApiKeys, Scope
from tests.crash.fleet import Fleet


class Pipeline:
    """A client of one tenant."""

    def __init__(self, fleet: Fleet, tenant: str) -> None:
        self._fleet = fleet
        keys = ApiKeys(fleet.client)
        self._key = fleet.until(lambda: keys.create(tenant, [Scope.ADMIN], "pipeline")[1])

    def submit(self, goal: str, model: str, key: str) -> str:
        """Submit a goal; returns the run's id."""
        headers = {"Idempotency-Key": key}
        return str(self._post("/v1/runs", {"goal": goal, "model": model}, headers)["run"])

    def cancel(self, run: str) -> None:
        """Have a run end."""
        self._post(f"/v1/runs/{run}/cancel", {"why": "the test wants it"})

    def say(self, run: str, content: str) -> None:
        """Say something to the agent, once."""
        self._post(f"/v1/runs/{run}/messages", {"content": content, "message_id": "m1"})

    def _post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        def answer() -> httpx.Response | None:
            try:
                response = httpx.post(
                    self._fleet.api_url + path,
                    json=body,
                    headers={"Authorization": f"Bearer {self._key}", **(headers or {})},
                    timeout=10,
                )
            except httpx.TransportError:
                return None
            return None if response.status_code >= 500 else response

        response = self._fleet.until(answer, message=path)
        assert response.status_code in {200, 202}, response.text
        return dict(response.json())
