"""Secrets that were made once are read back from the cluster at an upgrade."""

import base64
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from functools import reduce
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis
import yaml

from tests.deploy.chart import CHART, NAMESPACE, RELEASE, Manifest, helm, rendered
from tests.servers import bound_to_us, program, wait_until

_SECRETS = {"kind": "Secret", "name": "secrets", "singularName": "secret", "namespaced": True, "verbs": ["get", "list"]}
_VERSION = {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}


class ApiServer:
    """As much of a cluster's API as helm asks for to read Secrets."""

    def __init__(self) -> None:
        self.secrets: dict[str, Manifest] = {}
        answers = {
            "/version": _VERSION,
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [_SECRETS]},
        }
        prefix, secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets/", self.secrets

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                found: Mapping[str, object] | None = answers.get(path) or secrets.get(path.removeprefix(prefix))
                missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
                body = json.dumps(found or missing).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def keep(self, bodies: list[Manifest]) -> None:
        """Take Secrets as a cluster does."""
        for body in bodies:
            data = {name: base64.b64encode(value.encode()).decode() for name, value in body["stringData"].items()}
            self.secrets[body["metadata"]["name"]] = {**body, "data": data, "stringData": None}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def cluster() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.stop()


def made(cluster: ApiServer) -> list[Manifest]:
    """The Secrets that helm would bring to this cluster now."""
    done = helm("template", RELEASE, str(CHART), "--dry-run=server", "--kube-apiserver", cluster.url)
    assert done.returncode == 0, done.stderr
    return [body for body in yaml.safe_load_all(done.stdout) if body and body["kind"] == "Secret"]


def values_of(bodies: list[Manifest]) -> dict[str, Mapping[str, str]]:
    return {body["metadata"]["name"]: body["stringData"] for body in bodies}


def test_an_upgrade_keeps_the_secrets_of_the_install(cluster: ApiServer) -> None:
    first = made(cluster)
    cluster.keep(first)
    assert values_of(made(cluster)) == values_of(first)


def test_two_installs_share_no_secret(cluster: ApiServer) -> None:
    one, other = values_of(made(cluster)), values_of(made(cluster))
    assert one.keys() == other.keys() == {"cohort-runner", "cohort-api-key", "cohort-redis"}
    assert all(one[name][key] != other[name][key] for name in one for key in one[name])


def test_redis_knows_the_password_that_the_services_use() -> None:
    [secret] = [body for body in rendered("default") if body["kind"] == "Secret" and "password" in body["stringData"]]
    values = secret["stringData"]
    assert values["password.conf"] == f"requirepass {values['password']}\n"
    address = f":{values['password']}@cohort-redis.{NAMESPACE}.svc:6379"
    assert (values["redis-url"], values["broker-url"]) == (f"redis://{address}/0", f"redis://{address}/1")


def test_redis_takes_its_file_and_lets_nobody_in_without_the_password(tmp_path: Path) -> None:
    text = (CHART / "files" / "redis.conf").read_text()
    places = {
        "/etc/redis-password": str(tmp_path),
        "dir /data": f"dir {tmp_path}",
        "port 6379": "port 0",
        "bind *": "# ",
    }
    text = reduce(lambda found, place: found.replace(*place), places.items(), text)
    (tmp_path / "password.conf").write_text("requirepass hunter2\n")
    (tmp_path / "redis.conf").write_text(f"{text}unixsocket {tmp_path}/socket\n")
    command = bound_to_us([program("redis-server", "redis-server"), str(tmp_path / "redis.conf")])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until((tmp_path / "socket").exists)
        with redis.Redis(unix_socket_path=f"{tmp_path}/socket") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis(unix_socket_path=f"{tmp_path}/socket", password="hunter2") as client:
            told = {**client.config_get("appendonly", "maxmemory-policy", "appendfsync", "databases")}
        process.terminate()
    assert told == {
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "appendfsync": "always",
        "databases": "2",
    }
