"""`cohort up`: Cohort on this machine, for daily use with the user's own model, until Ctrl-C."""

import signal
from argparse import Namespace
from contextlib import closing
from pathlib import Path
from types import FrameType

from services.cli import environment
from services.cli.client import ApiClient
from services.cli.home import Home, home_at
from services.cli.output import remark
from services.cli.programs import Given
from services.cli.report import read_run
from services.cli.stack import Stack, Wishes, stack
from services.core.errors import CohortError
from services.core.lifecycle import Status
from services.core.settings import ClientSettings, load

_LIVELY = (Status.RUNNING, Status.WAITING, Status.NEEDS_HUMAN, Status.CANCELLING)


def run(options: Namespace) -> int:
    """Start, say how to use it, and stay until Ctrl-C or SIGTERM."""
    settings = load(ClientSettings)
    home = home_at(Path(options.home) if options.home else settings.home)
    environ = environment.own()
    given = Given(environment.bare(environ), environment.tuning(environ), environment.of_provider(environ))
    end_on_signals()
    remark(f"starting in {home.path}")
    try:
        with stack(home, Wishes(given, port=options.port or 0), remark) as up:
            print("\n".join(greeting(up, settings)), flush=True)
            try:
                stay()
            finally:
                _say_what_goes_on(up)
    except KeyboardInterrupt:
        remark("stopped; runs that are not over go on at the next `cohort up`")
    return 0


def stay() -> None:
    """Wait until a signal ends it with `KeyboardInterrupt`."""
    while True:
        signal.pause()


def end_on_signals() -> None:
    """Let SIGTERM and a closed terminal end this process as Ctrl-C does: with everything stopped in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def _say_what_goes_on(up: Stack) -> None:
    """Programs of runs are no children of the stack: a training does not die with it."""
    with closing(ApiClient(up.address.url, up.address.key)) as api:
        try:
            pages = [api.get("/v1/runs", {"status": status, "limit": 100}) for status in _LIVELY]
        except CohortError as error:
            remark(f"cannot tell whether programs of runs go on: {error}")
            return
    count = sum(len(read_run(item).state.live_attempts()) for page in pages for item in page["items"])
    if count:
        remark(f"{count} program(s) of runs go on by themselves; the next `cohort up` takes them up again")


def greeting(up: Stack, settings: ClientSettings) -> list[str]:
    """What a user has to know once the stack is up."""
    lines = [f"Cohort is up at {up.address.url}", f"  state in     {up.home.path} (logs in {up.home.logs})"]
    urls = [f"{url} ({part})" for part, url in up.ports.metrics_urls.items()]
    lines += [f"  metrics      {urls[0]}", *(f"{' ' * 15}{url}" for url in urls[1:])]
    if settings.model:
        lines.append(f"  model        {settings.model}")
    else:
        lines.append("  model        none: set COHORT_MODEL (anthropic/…, openai/…, ollama/…, vllm/…), or name one")
        lines.append("               with every goal: cohort submit --model …")
    prefix = home_prefix(up.home)
    lines.append(f'  try          {prefix}cohort submit "train a classifier on …" --follow')
    lines.append(f"               {prefix}cohort runs")
    lines.append("Ctrl-C stops everything; runs that are not over go on at the next `cohort up`.")
    return lines


def home_prefix(home: Home) -> str:
    """What other shells have to put before `cohort` so that it finds this home."""
    return "" if home == home_at(ClientSettings.model_fields["home"].default) else f"COHORT_HOME={home.path} "
