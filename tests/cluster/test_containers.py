"""Every container of the install and of a step, as the kernel of its node has it: no root, a root that nobody writes
to, and no token but the controller's."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.admin import Admin, wait_until
from tests.cluster.errands import Clients, begin
from tests.cluster.gates import Gates
from tests.cluster.installation import PARTS, Installed

pytestmark = [pytest.mark.cluster, pytest.mark.installed, pytest.mark.timeout(400)]

# One line for each process: its name, user ids, capabilities, whether it may gain any, its seccomp mode, how its root
# is mounted, what became of an attempt to write there, and how many tokens it has.
_LOOK = """
for pid in {pids}; do
    p=/proc/$pid
    of() {{ sed -n "s/^$1:[[:space:]]*//p" $p/status | tr '\\t' ','; }}
    root=$(awk '$5 == "/" {{split($6, how, ","); print how[1]}}' $p/mountinfo)
    touch $p/root/written 2>/dev/null && wrote=yes || wrote=no
    token=$(awk '$5 ~ "/secrets/kubernetes.io/" {{print}}' $p/mountinfo | wc -l)
    echo "$(of Name) $(of Uid) $(of CapEff) $(of NoNewPrivs) $(of Seccomp) $root $wrote $token"
done
"""


@dataclass(frozen=True)
class Seen:
    """A process of a pod."""

    name: str
    users: frozenset[str]
    capabilities: int
    confined: tuple[str, str]
    root: str
    wrote: str
    tokens: int


def processes(admin: Admin, pod: Any) -> list[Seen]:
    pids = admin.processes(pod.metadata.uid, "")
    assert pids, pod.metadata.name
    lines = [line.split() for line in admin.on_node(_LOOK.format(pids=" ".join(map(str, pids)))).splitlines()]
    return [
        Seen(name, frozenset(users.split(",")), int(able, 16), (gains, seccomp), root, wrote, int(tokens))
        # A process that has ended meanwhile has nothing to say.
        for name, users, able, gains, seccomp, root, wrote, tokens in (line for line in lines if len(line) == 8)
    ]


def check(seen: list[Seen], tokens: int) -> None:
    # The pause process holds the pod's network and nothing else.
    ours = [one for one in seen if one.name != "pause"]
    assert ours
    for one in ours:
        assert "0" not in one.users, one
        assert (one.capabilities, one.confined) == (0, ("1", "2")), one
        assert (one.root, one.wrote) == ("ro", "no"), one
        assert one.tokens == tokens, one


def test_every_service_runs_confined_on_a_root_that_it_cannot_write_to(admin: Admin, cohort: Installed) -> None:
    cohort.until_whole()
    for part in PARTS:
        for pod in cohort.pods(part):
            check(processes(admin, pod), tokens=1 if part == "controller" else 0)


def test_a_step_and_a_sandbox_run_confined_and_have_no_token(
    admin: Admin, cohort: Installed, clients: Clients, gates: Gates
) -> None:
    step = begin(clients("confined-step"), gates, ("half",))
    sandbox = begin(clients("confined-sandbox"), gates, ("look",), looks=True)
    wait_until(lambda: gates.reached(step.token, "half") and gates.reached(sandbox.token, "look"))
    names = set()
    for run in (step, sandbox):
        for pod in admin.core.list_namespaced_pod(cohort.steps, label_selector=f"cohort.dev/run={run.run}").items:
            seen = processes(admin, pod)
            names |= {one.name for one in seen}
            check(seen, tokens=0)
    # Not the sidecars alone.
    assert {"python", "python3"} & names
    for run in (step, sandbox):
        gates.open(run.token)
        run.until_over()
