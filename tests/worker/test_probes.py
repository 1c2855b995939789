import httpx
from prometheus_client import CollectorRegistry, Gauge

from services.worker.probes import answer_probes


def test_a_probe_hears_whether_the_process_is_alive_and_ready_and_prometheus_its_figures() -> None:
    registry, trouble, lack = CollectorRegistry(), [""], ["it has not begun"]
    Gauge("cohort_of_a_test", "Of a test.", registry=registry).set(3)
    server = answer_probes(0, registry, lambda: trouble[-1], lambda: lack[-1])
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
