"""Sandboxes: each a step of its run, and the commands that go to it.

Which pod is a run's sandbox stands in the run's log, like every step. Here is what the log has no room for: a run's
queue of commands, who took which, and their outcomes. A command is taken once, by the pod that claimed a live attempt,
and from then on only that pod can say what became of it; once the attempt is over, nobody can.
"""

import time
from dataclasses import dataclass

from services.core.attempts import AttemptOver, AttemptTaken
from services.core.commands import NextCommand, Order, Outcome
from services.core.errors import Conflict, NotFound
from services.core.keys import COMMAND_QUEUED, Keys, run_channel, run_of_attempt
from services.core.payload import Payloads
from services.core.redis import Client, answered, run_script

SANDBOX = "sandbox"
"""The step that is a run's sandbox. No step of the agent's may be named so."""

_IDLE_SECONDS = 900.0


class CommandNotFound(NotFound):
    """The attempt has no such command."""


class RunNotAtWork(Conflict):
    """The run is not running: no command is taken for it."""


@dataclass(frozen=True)
class CommandRecord:
    """What is known of a command. `attempt` took it. Times are seconds since the epoch, 0 where it hasn't happened."""

    queued_at: float = 0.0
    begun_at: float = 0.0
    attempt: str = ""
    outcome: Outcome | None = None


class SandboxStore:
    """The sandboxes of one install. Safe to share between threads; every write may be sent twice."""

    def __init__(self, client: Client, keys: Keys, payloads: Payloads) -> None:
        self._client = client
        self._keys = keys
        self._payloads = payloads

    # --- The worker's side ----------------------------------------------------------------------------------------

    def queue(self, run: str, order: Order) -> None:
        """Have the command run once; one that is known already is left as it is. Raises `RunNotAtWork`."""
        keys = [self._keys.run(run), self._keys.sandbox(run), self._keys.sandbox(run, "queue")]
        args = [order.call, self._payloads.pack(order.model_dump_json()), run_channel(run), COMMAND_QUEUED]
        args.append(str(order.gpus))
        if run_script(self._client, "sandbox_queue", keys, args) == b"over":
            raise RunNotAtWork(f"run {run} is not running, so {order.call} is not begun")

    @answered
    def command(self, run: str, call: str) -> CommandRecord:
        """What is known of a command; an empty record where nothing is."""
        fields = [f"{call}:{name}" for name in ("queued_at", "begun_at", "attempt", "outcome")]
        queued_at, begun_at, attempt, outcome = self._client.hmget(self._keys.sandbox(run), fields)
        packed = None if outcome is None else self._payloads.unpack(outcome.decode())
        return CommandRecord(
            queued_at=int(queued_at or 0) / 1000,
            begun_at=int(begun_at or 0) / 1000,
            attempt=(attempt or b"").decode(),
            outcome=None if packed is None else Outcome.model_validate_json(packed),
        )

    def withdraw(self, run: str, call: str) -> bool:
        """Take a command back that no pod has taken. False: one has, or its outcome is there."""
        keys = [self._keys.sandbox(run), self._keys.sandbox(run, "queue")]
        return bool(run_script(self._client, "sandbox_withdraw", keys, [call]) == b"ok")

    def queue_again(self, run: str, call: str, attempt: str) -> None:
        """Put a command back into the queue that `attempt` took and never began, as its outcome says."""
        keys = [self._keys.sandbox(run), self._keys.sandbox(run, "queue")]
        args = [call, attempt, run_channel(run), COMMAND_QUEUED]
        run_script(self._client, "sandbox_queue_again", keys, args)

    @answered
    def set_terms(self, run: str, idle_seconds: float, until: float) -> None:
        """How long the next sandbox waits for a command (one that needs GPUs, if it has some) before it ends, and when
        it takes no more."""
        now_ms = int(time.time() * 1000)
        terms = {"idle_ms": int(idle_seconds * 1000), "until_ms": int(until * 1000)}
        self._client.hset(self._keys.sandbox(run), mapping={**terms, "used_at": now_ms, "gpus_used_at": now_ms})

    def retire(self, run: str, attempt: str) -> int:
        """Have a sandbox take no more commands and end after those it has. How many it has is returned."""
        keys = [self._keys.sandbox(run), self._keys.sandbox(run, "begun")]
        return int(run_script(self._client, "sandbox_retire", keys, [attempt, run_channel(run), COMMAND_QUEUED]))

    @answered
    def remove(self, run: str) -> None:
        """Forget a run's commands."""
        self._client.delete(*(self._keys.sandbox(run, part) for part in ("", "queue", "begun")))

    # --- The sidecar's side ---------------------------------------------------------------------------------------

    def next(
        self, attempt: str, pod_uid: str, tended: tuple[str, ...] = (), gpus: int = 0, *, is_over: bool = False
    ) -> NextCommand:
        """Take the next command for a pod; those it took and does not tend (an answer was lost, a sidecar died) first.

        Others only where the pod's `gpus` are enough for them; and none, from then on, to one that `is_over`.
        Raises `AttemptOver`, `AttemptTaken`.
        """
        run = run_of_attempt(attempt)
        parts = [self._keys.sandbox(run, part) for part in ("", "queue", "begun")]
        args = [attempt, pod_uid, int(_IDLE_SECONDS * 1000), "1" if is_over else "", gpus, *tended]
        verdict, value = run_script(self._client, "sandbox_next", [*self._attempt(attempt), *parts], args)
        _check(attempt, verdict)
        order = Order.model_validate_json(self._payloads.unpack(value.decode())) if verdict == b"order" else None
        return NextCommand(order=order, end=verdict == b"end")

    @answered
    def order(self, attempt: str, call: str) -> Order:
        """A command that this attempt took. Raises `CommandNotFound`."""
        fields = [f"{call}:attempt", f"{call}:order"]
        taken_by, order = self._client.hmget(self._keys.sandbox(run_of_attempt(attempt)), fields)
        if order is None or taken_by != attempt.encode():
            raise CommandNotFound(f"attempt {attempt} has no command {call}")
        return Order.model_validate_json(self._payloads.unpack(order.decode()))

    def done(self, attempt: str, pod_uid: str, call: str, outcome: Outcome) -> None:
        """Record how a command ended; the first report stands. Raises `AttemptOver`, `AttemptTaken`,
        `CommandNotFound`."""
        run = run_of_attempt(attempt)
        keys = [*self._attempt(attempt), self._keys.sandbox(run), self._keys.sandbox(run, "begun")]
        args = [attempt, pod_uid, call, self._payloads.pack(outcome.model_dump_json())]
        verdict = run_script(self._client, "sandbox_done", keys, args)
        _check(attempt, verdict)
        if verdict == b"strange":
            raise CommandNotFound(f"attempt {attempt} has no command {call}")

    def _attempt(self, attempt: str) -> list[str]:
        return [self._keys.attempts(self._keys.tag(run_of_attempt(attempt))), self._keys.attempt(attempt)]


def _check(attempt: str, verdict: bytes) -> None:
    if verdict == b"over":
        raise AttemptOver(f"attempt {attempt} is over, or never was")
    if verdict == b"taken":
        raise AttemptTaken(f"attempt {attempt} belongs to another execution")
