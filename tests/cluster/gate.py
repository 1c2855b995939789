"""A webhook that the API server asks before it makes something in one namespace, served from the test over TLS."""

import base64
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from kubernetes import client

from tests.cluster.admin import Admin, Json
from tests.servers import program

NAME = "gate.cohort.test"


class Gate:
    """From `with` to its end. `answer` is the response of its reviews; None: it never answers."""

    def __init__(self, admin: Admin, namespace: str, directory: Path) -> None:
        self.answer: Json | None = {"allowed": True}
        self._admin = admin
        self._namespace = namespace
        self._directory = directory
        self._registration = client.AdmissionregistrationV1Api(admin.api)
        self._given_up = threading.Event()

    def __enter__(self) -> Self:
        address = self._admin.address()
        certificate, key = self._certify(address)
        self._server = ThreadingHTTPServer((address, 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._bundle = base64.b64encode(certificate.read_bytes()).decode()
        threading.Thread(target=self._server.serve_forever, name="gate", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        self._given_up.set()
        self._server.shutdown()
        self._server.server_close()

    def deny(self, resource: str, status: Json, version: str = "v1", group: str = "batch") -> None:
        """Have everything of that kind refused with this Status."""
        self.answer = {"allowed": False, "status": status}
        self._registration.create_validating_webhook_configuration(self._configuration(group, version, resource))

    def change(self, resource: str, patch: list[Json], version: str = "v1", group: str = "") -> None:
        """Have everything of that kind changed by this JSON patch."""
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        self.answer = {"allowed": True, "patchType": "JSONPatch", "patch": encoded}
        self._registration.create_mutating_webhook_configuration(self._configuration(group, version, resource))

    def open(self) -> None:
        """Take it away."""
        for delete in (
            self._registration.delete_validating_webhook_configuration,
            self._registration.delete_mutating_webhook_configuration,
        ):
            self._admin.found(delete, self._namespace)

    def _configuration(self, group: str, version: str, resource: str) -> Json:
        host, port = self._server.server_address[:2]
        rule = {"apiGroups": [group], "apiVersions": [version], "resources": [resource], "operations": ["CREATE"]}
        return {
            "metadata": {"name": self._namespace},
            "webhooks": [
                {
                    "name": NAME,
                    "clientConfig": {"url": f"https://{host!s}:{port}/review", "caBundle": self._bundle},
                    "rules": [rule],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
                    "failurePolicy": "Fail",
                    "timeoutSeconds": 1,
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }
            ],
        }

    def _certify(self, address: str) -> tuple[Path, Path]:
        """A certificate for this address that is its own authority, and its key."""
        certificate, key = self._directory / "gate.crt", self._directory / "gate.key"
        command = [program("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=gate", "-addext", f"subjectAltName=IP:{address}"]
        subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        return certificate, key

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if gate.answer is None:
                    gate._given_up.wait(30)
                    return
                response = {"uid": review["request"]["uid"], **gate.answer}
                kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
                body = json.dumps({**kind, "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *values: Any) -> None:
                """Say nothing."""

        return Handler
