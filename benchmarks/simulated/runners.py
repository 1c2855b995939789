"""The runners of pods in which nothing runs: each claims its attempt, ships a log, breathes, and reports the end.

Also what a kubelet would say at the end of a program: the simulation of pods knows nothing of a shim's exit record.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import google_crc32c
import httpx

from services.core.tokens import PROTOCOL, issue
from services.runner.spool import ExitReason, ExitRecord
from services.worker.executors.kubernetes.client import PODS, Cluster
from services.worker.executors.kubernetes.manifest import ATTEMPT, LAY, MAIN, RUNNER

Json = dict[str, Any]

_LOG = b"".join(b"step=%d loss=%.4f\n" % (step, 1 / (step + 1)) for step in range(20))
_HEARTBEAT_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_DAY = 24 * 3600.0
_AT_ONCE = 16


class Runners:
    """Plays the runner of every pod it is told of, on a thread of its own.

    `end_of` says when an attempt's program ends that began then; it is asked again and again, None is never. Times are
    seconds since the epoch.
    """

    def __init__(self, url: str, secret: str, cluster: Cluster, end_of: Callable[[str, float], float | None]) -> None:
        self.ended: dict[str, float] = {}
        self.errors: list[str] = []
        self._url = url
        self._secret = secret
        self._cluster = cluster
        self._end_of = end_of
        self._known: dict[str, asyncio.Task[None]] = {}
        self._held: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._loop.set_default_executor(ThreadPoolExecutor(_AT_ONCE))
        self._requests = asyncio.Semaphore(_AT_ONCE)

    def start(self) -> None:
        self._thread.start()
        limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
        self._client = httpx.AsyncClient(base_url=self._url, timeout=60, limits=limits)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def told(self, pod: Json) -> None:
        """Something about the pod has changed."""
        self._loop.call_soon_threadsafe(self._take, pod)

    def _take(self, pod: Json) -> None:
        uid, phase = pod["metadata"]["uid"], pod.get("status", {}).get("phase")
        if pod["metadata"].get("deletionTimestamp"):
            task = self._known.get(uid)
            if task is not None and not task.done():
                task.cancel()
                self._known[uid] = self._loop.create_task(self._leave(pod))
        elif phase == "Pending" and uid not in self._held:
            self._held.add(uid)
            self._loop.create_task(self._hold(pod["metadata"]["name"]))
        elif phase == "Running" and uid not in self._known:
            self._known[uid] = self._loop.create_task(self._play(pod))

    async def _hold(self, name: str) -> None:
        """Have the simulation leave the pod's end to us."""
        await self._patch(name, {"metadata": {"annotations": {"simulated.cohort.dev/run": "24h"}}})

    async def _play(self, pod: Json) -> None:
        attempt, name = pod["metadata"]["labels"][ATTEMPT], pod["metadata"]["name"]
        try:
            began = time.time()
            await self._say(attempt, "POST", "claim", json={"pod_uid": pod["metadata"]["uid"], "protocol": PROTOCOL})
            crc = {"X-Crc32c": f"{google_crc32c.value(_LOG):08x}"}
            await self._say(attempt, "PUT", "log", params={"offset": 0}, content=_LOG, headers=crc)
            await self._run(attempt, pod["metadata"]["uid"], began)
            record = ExitRecord(
                exit_code=0,
                signal=None,
                reason=ExitReason.EXITED,
                started=began,
                finished=time.time(),
                bytes=len(_LOG),
            )
            await self._patch(f"{name}/status", {"status": _main_over(pod, record)})
            self.ended[attempt] = time.time()
            await self._say(attempt, "POST", "finish", json=_report(record))
            await self._patch(f"{name}/status", {"status": _all_over(pod, record)})
        except httpx.HTTPError as error:
            self.errors.append(f"{attempt}: {error}")

    async def _leave(self, pod: Json) -> None:
        """What a sidecar does whose pod is told to go: it reports that the program was stopped."""
        now = time.time()
        record = ExitRecord(
            exit_code=143, signal=15, reason=ExitReason.CANCELLED, started=now, finished=now, bytes=len(_LOG)
        )
        try:
            await self._say(pod["metadata"]["labels"][ATTEMPT], "POST", "finish", json=_report(record))
        except httpx.HTTPError as error:
            self.errors.append(f"{pod['metadata']['name']} as it left: {error}")

    async def _run(self, attempt: str, uid: str, began: float) -> None:
        beat = began
        while True:
            end = self._end_of(attempt, began)
            if end is not None and time.time() >= end:
                return
            if time.time() > beat + _HEARTBEAT_SECONDS:
                beat = time.time()
                await self._say(attempt, "POST", "heartbeat", json={"pod_uid": uid})
            await asyncio.sleep(_LOOK_SECONDS)

    async def _say(self, attempt: str, method: str, what: str, **request: Any) -> None:
        token = issue(self._secret, attempt, time.time() + _DAY)
        headers = {"Authorization": f"Bearer {token}", **request.pop("headers", {})}
        path = f"/internal/v1/attempts/{attempt}/{what}"
        async with self._requests:
            answer = await self._client.request(method, path, headers=headers, **request)
        answer.raise_for_status()

    async def _patch(self, name: str, body: Json) -> None:
        await asyncio.to_thread(self._cluster.patch, PODS, name, body)


def _report(record: ExitRecord) -> Json:
    return {
        **record.model_dump(mode="json", exclude={"terminated"}),
        "sha256": hashlib.sha256(_LOG).hexdigest(),
        "outputs": [],
    }


def _main_over(pod: Json, record: ExitRecord) -> Json:
    """The status of a pod whose program has ended and whose sidecar still ships."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.finished))
    ended = {"exitCode": 0, "reason": "Completed", "finishedAt": stamp, "message": record.model_dump_json()}
    return {"containerStatuses": [_container(pod, MAIN, "containerStatuses", {"terminated": ended})]}


def _all_over(pod: Json, record: ExitRecord) -> Json:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.finished))
    gone = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": stamp}}
    sidecars = [_container(pod, name, "initContainerStatuses", gone) for name in (LAY, RUNNER)]
    return {**_main_over(pod, record), "initContainerStatuses": sidecars, "phase": "Succeeded"}


def _container(pod: Json, name: str, kind: str, state: Json) -> Json:
    before = next(one for one in pod["status"][kind] if one["name"] == name)
    return {**before, "state": state, "ready": False}
