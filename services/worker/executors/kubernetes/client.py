"""The only door to the Kubernetes API. Speaks in the API's own JSON objects and in our own errors.

The official client brings credentials, TLS and connections; the objects stay plain dicts, since building its models for
thousands of pods costs more than everything else the controller does.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes import client as official, config
from kubernetes.client.exceptions import ApiException

from services.core.errors import BadRequest, CohortError
from services.core.monitoring.instruments import Counter

Json = dict[str, Any]

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
# Whoever reads a log has others waiting, and its node may be gone.
_LOG_SECONDS = 10.0
_LOG_PIECE_BYTES = 1 << 20
_PAGE = 200
# Four watches, and as many requests at once as anybody makes.
_CONNECTIONS = 32
# The server sends a bookmark about once a minute: a connection that is silent for longer is dead.
SILENT_SECONDS = 90.0
_MERGE_PATCH = "application/merge-patch+json"

JOBS, PODS, EVENTS = ("batch/v1", "jobs"), ("v1", "pods"), ("v1", "events")
SECRETS, SERVICES = ("v1", "secrets"), ("v1", "services")
# Kueue's: there only where it is installed.
WORKLOADS = ("kueue.x-k8s.io/v1beta2", "workloads")
# Belongs to no namespace.
NODES = ("v1", "nodes")
Kind = tuple[str, str]


class ClusterUnreachable(CohortError):
    """The cluster does not answer. Says nothing about what runs in it."""


class Refused(CohortError):
    """The cluster answered, and said no: the HTTP status, and the Status object it said. `kind`: of what was asked for,
    in the plural."""

    def __init__(self, action: str, status: int, said: Json, kind: str = "") -> None:
        self.message = str(said.get("message") or status)
        super().__init__(f"the cluster refused to {action}: {self.message[:500]}")
        self.status = status
        self.said = said
        self.kind = kind

    @property
    def is_there(self) -> bool:
        """There already is an object of that name."""
        return self.status == 409 and self.said.get("reason") == "AlreadyExists"


@dataclass(frozen=True)
class Listed:
    """All objects of a list, and the version a watch goes on from."""

    objects: list[Json]
    version: str


class Stream:
    """A watch: what changes, as (`ADDED` | `MODIFIED` | `DELETED` | `BOOKMARK`, object), until it ends."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[tuple[str, Json]]:
        """Raises `Refused` (410: list again), `ClusterUnreachable`."""
        pending = b""
        with _translated():
            for chunk in self._response.stream(amt=None, decode_content=False):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield _event(json.loads(line))

    def stop(self) -> None:
        """End it from another thread."""
        # One that has ended by itself has no socket left to shut.
        with suppress(ValueError):
            self._response.shutdown()

    def close(self) -> None:
        """Let go of its connection."""
        self._response.close()


def _whole(body: Json) -> Json:
    return body


class Cluster:
    """One namespace of one cluster, and the cluster's nodes. Threads may share it."""

    def __init__(self, api: official.ApiClient, namespace: str, requests: Counter) -> None:
        self._api = api
        self._namespace = namespace
        self._requests = requests

    def create(self, kind: Kind, body: Json) -> Json:
        """Raises `Refused`, `ClusterUnreachable`."""
        return self._answer("POST", kind, body=body)

    def get(self, kind: Kind, name: str) -> Json | None:
        """The object, None if there is none. Raises `Refused`, `ClusterUnreachable`."""
        return self._unless_missing("GET", kind, name=name)

    def patch(self, kind: Kind, name: str, body: Json) -> Json | None:
        """Merge `body` into the object; None if there is none. Raises `Refused`, `ClusterUnreachable`."""
        return self._unless_missing("PATCH", kind, name=name, body=body, content_type=_MERGE_PATCH)

    def delete(self, kind: Kind, name: str, *, propagation: str = "Background", grace: int | None = None) -> None:
        """Deleting what is not there is no error. Raises `Refused`, `ClusterUnreachable`."""
        self._unless_missing("DELETE", kind, name=name, body=_deletion(propagation, grace))

    def delete_all(self, kind: Kind, selector: str) -> None:
        """Delete every object with these labels in one request. Raises `Refused`, `ClusterUnreachable`."""
        self._answer("DELETE", kind, query={"labelSelector": selector}, body=_deletion("Background", None))

    def list(self, kind: Kind, selector: str = "", trim: Callable[[Json], Json] = _whole) -> Listed:
        """All objects as of one moment, of each what `trim` leaves: thousands as they come are hundreds of megabytes.
        Raises `Refused` (410: begin again), `ClusterUnreachable`."""
        objects: list[Json] = []
        query = {"limit": str(_PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            page = self._answer("GET", kind, query=query)
            objects += map(trim, page["items"])
            token = page["metadata"].get("continue")
            if not token:
                return Listed(objects, page["metadata"]["resourceVersion"])
            query["continue"] = token

    def watch(self, kind: Kind, version: str, seconds: int, selector: str = "") -> Stream:
        """What changed since `version`, for `seconds` at most. Raises `Refused`, `ClusterUnreachable`."""
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        query |= {"timeoutSeconds": str(seconds), **({"labelSelector": selector} if selector else {})}
        return Stream(self._send("GET", kind, query=query, read_seconds=SILENT_SECONDS).response)

    def read_log(self, pod: str, container: str) -> Iterator[bytes]:
        """What a container has written to its stdout and stderr, as far as its node keeps it, in pieces. Raises
        `Refused`, `ClusterUnreachable`."""
        query = {"container": container}
        response = self._send("GET", PODS, name=f"{pod}/log", query=query, read_seconds=_LOG_SECONDS)
        with _translated(), closing(response.response) as stream:
            yield from stream.stream(amt=_LOG_PIECE_BYTES, decode_content=False)

    def close(self) -> None:
        """Let go of idle connections."""
        self._api.rest_client.close()

    def _unless_missing(self, method: str, kind: Kind, **request: Any) -> Json | None:
        try:
            return self._answer(method, kind, **request)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def _answer(self, method: str, kind: Kind, **request: Any) -> Json:
        response = self._send(method, kind, **request)
        with _translated():
            answer: Json = json.loads(_bytes(response))
        return answer

    def _send(
        self,
        method: str,
        kind: Kind,
        name: str = "",
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        read_seconds: float = _READ_SECONDS,
    ) -> Any:
        headers = {"Accept": "application/json, */*", "Content-Type": content_type}
        sending = self._api.param_serialize(
            method,
            self._path(kind, name),
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        with _translated():
            response = self._api.call_api(*sending, _request_timeout=(_CONNECT_SECONDS, read_seconds))
            self._requests.labels(method, kind[1], str(response.status)).inc()
            if response.status >= 400:
                action = _action(method, kind, name)
                raise Refused(action, response.status, _status_of(_bytes(response)), kind[1])
        return response

    def _path(self, kind: Kind, name: str) -> str:
        version, plural = kind
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        path = f"{root}/{plural}" if kind == NODES else f"{root}/namespaces/{self._namespace}/{plural}"
        return f"{path}/{quote(name)}" if name else path


def connect(kubeconfig: Path | None, namespace: str, requests: Counter) -> Cluster:
    """The cluster a kubeconfig names; without one, the cluster that this process is a pod of. Raises `BadRequest`."""
    settings = official.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=settings
            )
        else:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig), client_configuration=settings
            )
    except (config.ConfigException, OSError) as error:
        raise BadRequest(f"no cluster to run steps on: {error}", field="COHORT_KUBECONFIG") from error
    # What is tried again, and when, is decided by those who ask.
    settings.retries = False
    settings.connection_pool_maxsize = _CONNECTIONS
    return Cluster(official.ApiClient(settings), namespace, requests)


def _bytes(response: Any) -> bytes:
    data: bytes = response.read()
    return data


def _event(event: Json) -> tuple[str, Json]:
    if event["type"] == "ERROR":
        said = event["object"]
        raise Refused("watch", int(said.get("code", 500)), said)
    return event["type"], event["object"]


def _deletion(propagation: str, grace: int | None) -> Json:
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
    return options if grace is None else {**options, "gracePeriodSeconds": grace}


def _status_of(body: bytes) -> Json:
    """The Status object that comes with a refusal; of another body, its text as the message."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {"message": body[:500].decode("utf-8", "replace")}


def _action(method: str, kind: Kind, name: str) -> str:
    verb = {"POST": "create", "GET": "read", "PATCH": "patch", "DELETE": "delete"}[method]
    return f"{verb} {kind[1]} {name}".strip()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (urllib3.exceptions.HTTPError, OSError, json.JSONDecodeError) as error:
        raise ClusterUnreachable(f"the cluster does not answer: {error}") from error
    except ApiException as error:
        raise ClusterUnreachable(f"the cluster does not answer: {error.reason}") from error
