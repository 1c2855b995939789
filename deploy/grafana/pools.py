"""Pools and tenants: who has the GPUs, who waits for them, and who pays."""

from deploy.grafana.board import Board, Section, Variable, labels, namespace, source
from deploy.grafana.panels import COUNT, DOLLARS, SECONDS, SHARE, Limits, Panel, Query, lines, number, rows
from deploy.grafana.promql import chosen, dollars, quantile, rate, ratio, state

_POOL, _TENANT = 'pool=~"$pool"', 'tenant=~"$tenant"'


def _gpus(which: str, *by: str) -> str:
    return state("cohort_pool_gpus", *by, where=f'{_POOL}, state="{which}"', kept=() if by else ("pool",))


def _dollars(kinds: str, *by: str) -> str:
    where = f'{_TENANT}, kind=~"{kinds}"'
    return state("cohort_tenant_dollars", *by, where=where, kept=("kind",) if by else ("tenant", "kind"))


def board() -> Board:
    chosen: list[Variable] = [
        source(),
        namespace(),
        labels("pool", "Pool", "cohort_pool_waiting"),
        labels("tenant", "Tenant", "cohort_tenant_dollars"),
    ]
    return Board(
        uid="cohort-pools",
        title="Cohort / Pools and tenants",
        says="What the pools hold and who waits for them; what each tenant uses of its quota and its budget.",
        sections=[Section("Now", _now()), Section("Pools", _pools()), Section("Tenants", _tenants())],
        variables=chosen,
    )


def _now() -> list[Panel]:
    return [
        number("GPUs there could be", COUNT, Query(_gpus("capacity")), says="What the pools can grow to."),
        number("GPUs given to steps", COUNT, Query(_gpus("allocated")), says="Of all tenants together."),
        number(
            "Share of GPUs in use",
            SHARE,
            Query(ratio(_gpus("allocated"), _gpus("capacity"))),
            says="Near 1 with attempts that wait: the pools are too small for what is asked of them.",
        ),
        number(
            "Attempts that wait for a place",
            COUNT,
            Query(state("cohort_pool_waiting", where=_POOL, kept=("pool",))),
            says="Submitted, and without a node. Waiting beside free GPUs means that something else keeps them: "
            "cohort why RUN says what.",
            limits=Limits(1, 100),
        ),
        number(
            "GPUs held back by quotas",
            COUNT,
            Query(state("cohort_tenant_gpus_waiting", where=_TENANT, kept=("tenant",))),
            says="Attempts wait for them that the cluster might have room for.",
            limits=Limits(1),
        ),
        number(
            "Dollars an hour for what is allocated",
            DOLLARS,
            Query(_burnt()),
            says="GPUs given to steps, each at its pool's price.",
        ),
    ]


def _burnt(*by: str) -> str:
    """The price of the GPUs that are given to steps."""
    where = f'{_POOL}, state="allocated"'
    gpus = f"max by (namespace, pool) ({chosen('cohort_pool_gpus', where)})"
    price = f"max by (namespace, pool) ({chosen('cohort_pool_price_dollars_per_hour', _POOL)})"
    return f"sum{f' by ({by[0]})' if by else ''} ({gpus} * {price})"


def _pools() -> list[Panel]:
    return [
        lines(
            "GPUs given to steps, by pool",
            COUNT,
            Query(_gpus("allocated", "pool"), "{{pool}}"),
            says="What runs where. A pool at its capacity makes attempts wait.",
            stacked=True,
        ),
        lines(
            "Attempts that wait, by pool",
            COUNT,
            Query(state("cohort_pool_waiting", "pool", where=_POOL), "{{pool}}"),
            says="Should rise and fall. A line that stays up while GPUs are free: quota of the namespace, taints, "
            "Kueue.",
        ),
        lines(
            "Wait from submission to a running program, by pool",
            SECONDS,
            Query(
                quantile(0.95, "cohort_attempt_stage_seconds", "pool", where=f'{_POOL}, stage="to_running"'), "{{pool}}"
            ),
            says="95 of 100 attempts were running by then.",
        ),
        lines(
            "Share of each pool's GPUs in use",
            SHARE,
            Query(ratio(_gpus("allocated", "pool"), _gpus("capacity", "pool")), "{{pool}}"),
            says="A pool that costs money and is seldom in use could be smaller.",
        ),
        lines(
            "GPUs used in vain, by pool",
            COUNT,
            Query(rate("cohort_gpu_wasted_seconds_total", "pool", "why", where=_POOL), "{{pool}}, {{why}}"),
            says="GPU seconds a second of attempts that brought nothing. `lost` on a spot pool: its nodes are taken "
            "away faster than checkpoints are made.",
        ),
        lines(
            "Dollars an hour for what is allocated, by pool",
            DOLLARS,
            Query(_burnt("pool"), "{{pool}}"),
            says="GPUs given to steps, each at its pool's price.",
        ),
    ]


def _tenants() -> list[Panel]:
    return [
        rows(
            "Tenants",
            "tenant",
            {
                "live runs": (COUNT, Query(state("cohort_tenant_runs", "tenant", where=_TENANT, kept=("status",)))),
                "GPUs": (COUNT, Query(state("cohort_tenant_gpus", "tenant", where=_TENANT))),
                "GPUs waited for": (COUNT, Query(state("cohort_tenant_gpus_waiting", "tenant", where=_TENANT))),
                "GPU quota": (COUNT, Query(state("cohort_tenant_gpu_quota", "tenant", where=_TENANT))),
                "spent": (DOLLARS, Query(_dollars("spent", "tenant"))),
                "reserved": (DOLLARS, Query(_dollars("reserved", "tenant"))),
                "cap": (DOLLARS, Query(_dollars("cap", "tenant"))),
            },
            says="The first fifty tenants by name, the others together as `other`. No cap: the tenant has none.",
        ),
        lines(
            "GPUs by tenant",
            COUNT,
            Query(state("cohort_tenant_gpus", "tenant", where=_TENANT), "{{tenant}}"),
            says="Who has what. One tenant that has all while others wait has too large a quota.",
            stacked=True,
        ),
        lines(
            "GPUs that tenants wait for",
            COUNT,
            Query(state("cohort_tenant_gpus_waiting", "tenant", where=_TENANT), "{{tenant}}"),
            says="Attempts that their tenant's quota holds back. A line that never falls: the quota is too small "
            "for what its runs ask for.",
        ),
        lines(
            "Share of the budget that is spent or reserved",
            SHARE,
            Query(
                ratio(f"({_dollars('spent', 'tenant')} + {_dollars('reserved', 'tenant')})", _dollars("cap", "tenant")),
                "{{tenant}}",
            ),
            says="Of tenants with a cap. At 1 their runs end with the reason tenant_budget.",
            limits=Limits(0.8, 1),
        ),
        lines(
            "Live runs by tenant",
            COUNT,
            Query(state("cohort_tenant_runs", "tenant", where=_TENANT, kept=("status",)), "{{tenant}}"),
            says="Runs that are not over.",
            stacked=True,
        ),
        lines(
            "Dollars an hour by tenant",
            DOLLARS,
            Query(f"3600 * {dollars('rate', 'tenant', where=_TENANT)}", "{{tenant}}"),
            says="Model calls and steps. Steps are settled when their attempt ends.",
            stacked=True,
        ),
    ]
