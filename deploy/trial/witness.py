"""Every Job and pod that was ever there in a namespace, also those that are gone, and when each was first seen."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Self

from kubernetes import client, watch

_ATTEMPT = "cohort.dev/attempt"
_WATCH_SECONDS = 5


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
            options = {"resource_version": version} if version else {}
            stream = watch.Watch()
            for change in stream.stream(list_objects, self._namespace, timeout_seconds=_WATCH_SECONDS, **options):
                metadata = change["object"].metadata
                attempt = (metadata.labels or {}).get(_ATTEMPT)
                if attempt is not None:
                    seen[attempt].setdefault(metadata.uid, time.time())
                if self._stopped.is_set():
                    break
            version = stream.resource_version or version
