"""Every Job and pod that was ever there in a namespace, also those that are gone, and when each was first seen."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Self

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

_ATTEMPT = "cohort.dev/attempt"
_WATCH_SECONDS = 5
_PAUSE_SECONDS = 0.2


class Witness:
    """Watches from `with` to its end. `jobs` and `pods`: attempt → uid → seconds since the epoch."""

    def __init__(self, settings: client.Configuration, namespace: str) -> None:
        self.jobs: dict[str, dict[str, float]] = defaultdict(dict)
        self.pods: dict[str, dict[str, float]] = defaultdict(dict)
        self._api = client.ApiClient(settings)
        self._namespace = namespace
        self._stopped = threading.Event()
        seen = ((client.BatchV1Api(self._api).list_namespaced_job, self.jobs),)
        seen += ((client.CoreV1Api(self._api).list_namespaced_pod, self.pods),)
        self._threads = [threading.Thread(target=self._watch, args=both, daemon=True) for both in seen]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._api.rest_client.close()

    def _watch(self, list_objects: Callable[..., Any], seen: dict[str, dict[str, float]]) -> None:
        version = ""
        while not self._stopped.is_set():
            stream = watch.Watch()
            try:
                self._note(stream.stream(list_objects, self._namespace, **_options(version)), seen)
                version = stream.resource_version or ""
            except (ApiException, HTTPError):
                # The version is too old, or the API server is away: begin again with what is there.
                version = ""
                self._stopped.wait(_PAUSE_SECONDS)

    def _note(self, changes: Iterable[Any], seen: dict[str, dict[str, float]]) -> None:
        for change in changes:
            metadata = change["object"].metadata
            attempt = (metadata.labels or {}).get(_ATTEMPT)
            if attempt is not None:
                seen[attempt].setdefault(metadata.uid, time.time())
            if self._stopped.is_set():
                return


def _options(version: str) -> dict[str, Any]:
    """From that version on; without one, from what is there."""
    return {"timeout_seconds": _WATCH_SECONDS, **({"resource_version": version} if version else {})}
