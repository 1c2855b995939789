import socket

import httpx
import pytest

from services.core.monitoring.instruments import Registry
from services.core.monitoring.series import gauge
from services.worker.probes import CannotListen, answer_probes


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotListen, match="give another one"):
        answer_probes("127.0.0.1", taken.getsockname()[1], Registry("test"), lambda: "")


def test_a_probe_hears_whether_the_process_is_alive_and_ready_and_prometheus_its_figures() -> None:
    registry, trouble, lack = Registry("test"), [""], ["it has not begun"]
    registry.gauge(gauge("cohort_of_a_test", "Of a test.")).set(3)
    server = answer_probes("127.0.0.1", 0, registry, lambda: trouble[-1], lambda: lack[-1])
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_address[1]}", trust_env=False) as http:
        assert http.get("/healthz").status_code == 200
        assert (http.get("/readyz").status_code, http.get("/readyz").text) == (503, "it has not begun\n")
        lack.append("")
        assert http.get("/readyz").status_code == 200
        trouble.append("it hangs")
        answer = http.get("/healthz")
        assert (answer.status_code, answer.text) == (503, "it hangs\n")
        assert http.get("/readyz").text == "it hangs\n"
        assert "cohort_of_a_test 3.0" in http.get("/metrics").text
        assert http.get("/elsewhere").status_code == 404
    server.shutdown()
    server.server_close()
