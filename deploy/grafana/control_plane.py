"""Control plane: is everything alive that carries the runs: workers, controller, hints, cluster, logs, Redis, API?"""

from deploy.grafana.board import Board, Section, namespace, source
from deploy.grafana.panels import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    Limits,
    Panel,
    Query,
    lines,
    number,
)
from deploy.grafana.promql import chosen, quantile, rate, ratio, worst

# Answers that wait for something to happen, as they are asked to: how long says nothing of the API.
_WAITING = 'method="GET", route!~"/v1/runs/{run}|.*/(stream|trace|archive|log)|.*{path:path}|unknown"'


def board() -> Board:
    return Board(
        uid="cohort-control-plane",
        title="Cohort / Control plane",
        says="Whether every part that carries the runs is alive and keeps up.",
        sections=[
            Section("Now", _now()),
            Section("Workers and hints", _workers()),
            Section("Controller and cluster", _controller()),
            Section("Logs", _logs()),
            Section("Redis", _redis()),
            Section("API and processes", _api()),
        ],
        variables=[source(), namespace()],
        since="now-3h",
    )


def _now() -> list[Panel]:
    return [
        number(
            "Controllers that lead",
            COUNT,
            Query(f"sum({chosen('cohort_controller_leading')})"),
            says="One for each install. None: nothing is submitted, swept or archived; running programs go on.",
            limits=Limits(1, low=True),
        ),
        number(
            "Most overdue run",
            SECONDS,
            Query(worst("cohort_runs_due_lag_seconds")),
            says="How long a run has been due that nobody holds. Above a minute nobody takes runs.",
            limits=Limits(20, 60),
        ),
        number(
            "Share of worker slots in use",
            SHARE,
            Query(ratio(f"sum({chosen('cohort_worker_leases')})", f"sum({chosen('cohort_worker_slots')})")),
            says="At 1 runs wait for workers: scale them.",
            limits=Limits(0.8, 0.95),
        ),
        number(
            "Cluster unseen for",
            SECONDS,
            Query(f"{worst('cohort_kubernetes_blind_seconds')} or vector(0)"),
            says="Since when the cluster's API has not answered. Meanwhile nothing is decided about attempts.",
            limits=Limits(30, 120),
        ),
        number(
            "Redis' memory in use",
            SHARE,
            Query(_memory()),
            says="Of its limit; no value where it has none. When it is full, every write is refused.",
            limits=Limits(0.7, 0.9),
        ),
        number(
            "Runs not yet archived",
            COUNT,
            Query(worst("cohort_runs_unarchived")),
            says="Ended runs whose log is only in Redis. It should fall to 0 within a minute.",
            limits=Limits(20, 200),
        ),
    ]


def _memory() -> str:
    return f"{worst('cohort_redis_memory_bytes')} / ({worst('cohort_redis_memory_limit_bytes')} > 0)"


def _workers() -> list[Panel]:
    return [
        lines(
            "Runs that are due, and slots",
            COUNT,
            Query(worst("cohort_runs_ready"), "ready, and nobody holds them"),
            Query(f"sum({chosen('cohort_worker_leases')})", "held by a worker"),
            Query(f"sum({chosen('cohort_worker_slots')})", "slots"),
            says="Ready runs while slots are free: hints do not arrive. Ready runs and no slot: too few workers.",
        ),
        lines(
            "Slices by what came of them",
            PER_SECOND,
            Query(rate("cohort_worker_slices_total", "outcome"), "{{outcome}}"),
            says="What one hint did: a few turns, then the run is given back.",
            stacked=True,
        ),
        lines(
            "Since a worker's own hint came back",
            SECONDS,
            Query(worst("cohort_worker_canary_age_seconds", "instance"), "{{instance}}"),
            says="All workers late: the broker. One worker late: that one; its probe starts it anew. 0 while it is "
            "full.",
            limits=Limits(60, 120),
        ),
        lines(
            "Hints: sent and taken",
            PER_SECOND,
            Query(rate("cohort_hints_published_total", "result"), "sent, {{result}}"),
            Query(rate("cohort_worker_hints_total", "result"), "taken, {{result}}"),
            Query(rate("cohort_swept_runs_total"), "of those sent, by the sweeper"),
            says="What is sent is taken, together: `busy` and `idle` are harmless repetitions. More sent than taken: "
            "hints are lost, or wait because no slot is free.",
        ),
        lines(
            "Leases lost and writes fenced",
            PER_SECOND,
            Query(rate("cohort_leases_lost_total"), "leases lost"),
            Query(rate("cohort_fenced_writes_total"), "writes fenced"),
            says="A worker was too slow to renew, another took its run; nothing is done twice. More than a few: "
            "workers starve for CPU, or Redis is slow.",
        ),
        lines(
            "How long a lease's renewal takes",
            SECONDS,
            Query(quantile(0.5, "cohort_lease_renew_seconds"), "half"),
            Query(quantile(0.99, "cohort_lease_renew_seconds"), "99 of 100"),
            says="Leases last ten seconds. Renewals of a second mean that Redis or the network is in trouble.",
            limits=Limits(1, 5),
        ),
    ]


def _controller() -> list[Panel]:
    return [
        lines(
            "Controller's rounds",
            SECONDS,
            Query(quantile(0.95, "cohort_controller_round_seconds"), "95 of 100 took less than"),
            Query(worst("cohort_controller_round_age_seconds"), "since the last one ended"),
            says="A round looks at everything. An age that only rises: the leader stands still.",
            limits=Limits(30, 60),
        ),
        lines(
            "Age of what the watches know",
            SECONDS,
            Query(worst("cohort_kubernetes_watch_age_seconds", "kind", where='kind=~"jobs|pods"'), "{{kind}}"),
            Query(worst("cohort_kubernetes_blind_seconds"), "blind"),
            says="Since a watch of the cluster last said anything. Watches are renewed within minutes.",
            limits=Limits(300, 600),
        ),
        lines(
            "Requests to the cluster",
            PER_SECOND,
            Query(rate("cohort_kubernetes_requests_total", "status"), "{{status}}"),
            Query(rate("cohort_kubernetes_relists_total", "reason"), "listed anew, {{reason}}"),
            says="Refusals and time-outs are the API server's, or our rights'.",
        ),
        lines(
            "Jobs",
            PER_SECOND,
            Query(rate("cohort_kubernetes_jobs_created_total"), "made"),
            Query(rate("cohort_kubernetes_jobs_removed_total"), "removed"),
            Query(rate("cohort_kubernetes_held_total", "valve"), "put off, {{valve}}"),
            Query(rate("cohort_orphans_removed_total", "kind"), "orphans, {{kind}}"),
            says="Put off: a limit on Jobs holds their creation back. Orphans that are `unknown` "
            "are of runs that nobody knows: there should be none.",
        ),
        lines(
            "From a program's end, or a cancel, to its record",
            SECONDS,
            Query(quantile(0.95, "cohort_diagnosis_seconds"), "end to record, 95 of 100"),
            Query(quantile(0.95, "cohort_cancel_seconds"), "cancel to end, 95 of 100"),
            says="Seconds are usual. Minutes after an end: logs take long to come, or the controller is behind.",
            limits=Limits(60),
        ),
        lines(
            "Archive",
            PER_SECOND,
            Query(rate("cohort_archived_runs_total"), "archived"),
            Query(rate("cohort_archive_failures_total"), "failed"),
            says="Failures are the artifact store's: its address, its rights, its room.",
        ),
    ]


def _logs() -> list[Panel]:
    return [
        lines(
            "From a line's writing to its storing",
            SECONDS,
            Query(quantile(0.5, "cohort_log_lag_seconds"), "half"),
            Query(quantile(0.99, "cohort_log_lag_seconds"), "99 of 100"),
            says="What agents and people see of a program is so old. Above ten seconds the API or Redis is too slow.",
            limits=Limits(5, 10),
        ),
        lines(
            "Log bytes",
            BYTES_PER_SECOND,
            Query(rate("cohort_log_ingest_bytes_total"), "taken"),
            Query(rate("cohort_log_gap_bytes_total"), "lost"),
            says="Lost bytes are counted when an attempt ends.",
        ),
        lines(
            "Trouble with logs",
            PER_SECOND,
            Query(rate("cohort_log_rewinds_total"), "sent again from an earlier place"),
            Query(rate("cohort_logs_incomplete_total"), "not whole"),
            says="Rewinds cost nothing but time. Logs that are not whole: sidecars or nodes died.",
        ),
    ]


def _redis() -> list[Panel]:
    return [
        lines(
            "Memory",
            BYTES,
            Query(worst("cohort_redis_memory_bytes"), "in use"),
            Query(f"{worst('cohort_redis_memory_limit_bytes')} > 0", "limit"),
            says="It grows with runs that are not over and with ended ones that are kept.",
        ),
        lines(
            "Redis answers, and keeps what it is told",
            COUNT,
            Query(f"min({chosen('cohort_redis_up')})", "answers"),
            Query(f"min({chosen('cohort_redis_aof_ok')})", "append-only file is written"),
            Query(worst("cohort_redis_connected_clients"), "clients"),
            says="At 0 the append-only file cannot be written: what is accepted may be lost with the process.",
        ),
        lines(
            "How long the state takes to read",
            SECONDS,
            Query(worst("cohort_state_read_seconds"), "for a scrape"),
            says="What the controller reads from Redis for these figures. Hundredths of a second at thousands of runs.",
            limits=Limits(0.5, 2),
        ),
    ]


def _api() -> list[Panel]:
    requests, failed = (rate("cohort_api_requests_total", where=where) for where in ("", 'status=~"5.."'))
    return [
        lines(
            "Requests by status",
            PER_SECOND,
            Query(rate("cohort_api_requests_total", "status"), "{{status}}"),
            says="409 and 410 are the runners' protocol at work. 5xx are ours.",
            stacked=True,
        ),
        lines(
            "Share of requests that failed by our fault",
            SHARE,
            Query(ratio(failed, requests), "5xx"),
            says="Clients and sidecars ask again; work is late, not lost.",
            limits=Limits(0.01, 0.05),
        ),
        lines(
            "How long requests take",
            SECONDS,
            Query(quantile(0.5, "cohort_api_request_seconds", where=_WAITING), "half"),
            Query(quantile(0.99, "cohort_api_request_seconds", where=_WAITING), "99 of 100"),
            says="Until the answer begins; without those that wait for something to happen.",
            limits=Limits(1, 2),
        ),
        lines(
            "Open streams",
            COUNT,
            Query(f"sum({chosen('cohort_sse_clients')})", "clients that follow events or logs"),
            says="Each holds a connection of one API process, and no thread.",
        ),
        lines(
            "Memory of our processes",
            BYTES,
            Query(_ours("process_resident_memory_bytes"), "{{job}} {{instance}}"),
            says="A line that only rises over days is a leak.",
        ),
        lines(
            "CPU of our processes",
            COUNT,
            Query(_ours("process_cpu_seconds_total", "rate"), "{{job}} {{instance}}"),
            says="In cores. A Python process has little more than one: at 1 it is the narrowest place.",
        ),
    ]


def _ours(name: str, function: str = "") -> str:
    """A metric that every program has, of our programs alone."""
    of = f"rate({chosen(name)}[$__rate_interval])" if function else chosen(name)
    return f"{of} and on (job, instance) {chosen('cohort_build_info')}"
