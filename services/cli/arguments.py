"""What can be typed. Only argparse is imported here: `cohort --help` has to be there at once."""

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter, _SubParsersAction
from typing import Any, TypeAlias

from services.cli import admin_arguments

DESCRIPTION = "A fleet of autonomous ML engineers: a goal goes in, a trained model comes out."
EPILOG = """\
exit codes: 0 succeeded, 1 failed, 2 bad usage, 3 infrastructure, 4 cancelled, 5 timed out, 6 budget or quota,
            7 needs a human (those of the run with --wait, --follow and `events -f`)
environment: COHORT_URL and COHORT_KEY name the API; without them the one that `cohort up` started is used
"""

_Commands: TypeAlias = "_SubParsersAction[_Exact]"


class _Exact(ArgumentParser):
    """An abbreviated option in somebody's script would break with the next option that begins alike."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)


def parser() -> ArgumentParser:
    """The whole command line. `options.command` names the chosen command, a module of `commands`."""
    top = ArgumentParser("cohort", description=DESCRIPTION, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Exact)
    for add in (
        _up,
        _demo,
        _submit,
        _runs,
        _show,
        _why,
        _pools,
        _events,
        _logs,
        _diagnose,
        _metrics,
        _tools,
        _message,
        _cancel,
        _artifacts,
        _workspace,
        _keys,
        admin_arguments.add,
    ):
        add(commands)
    commands.add_parser("version", help="print the version")
    return top


def _up(commands: _Commands) -> None:
    command = commands.add_parser(
        "up",
        help="run Cohort on this machine until Ctrl-C",
        description="Run Redis, the API, a worker and the controller on this machine until Ctrl-C. Runs that are not "
        "over go on at the next `cohort up` with the same home. COHORT_MODEL names the model (anthropic/…, openai/…, "
        "ollama/…, vllm/…), COHORT_MODEL_BASE_URL its server where it is your own.",
    )
    command.add_argument("--home", metavar="DIR", help="where state is kept (default: COHORT_HOME or ~/.cohort)")
    command.add_argument("--port", type=int, metavar="N", help="port of the API (default: the last one, or 8470)")


def _demo(commands: _Commands) -> None:
    command = commands.add_parser(
        "demo",
        help="watch a run from goal to model, with a scripted model",
        description="Start everything on this machine with a scripted playbook in place of a language model, post a "
        "goal, show the run, and check the model it hands over on data it has not seen.",
    )
    command.add_argument("--keep", action="store_true", help="leave everything up afterwards, until Ctrl-C")
    command.add_argument("--home", metavar="DIR", help="where state is kept (default: a new temporary directory)")


def _submit(commands: _Commands) -> None:
    command = commands.add_parser(
        "submit",
        help="post a goal",
        description="Post a goal; print the run's id. Options win over the file's keys.",
        epilog="goal.yaml has the keys goal, model, fallback_model, effort, limits, labels, resources, rules (waived, "
        "cost_line_dollars, evaluation_data), inputs (paths, relative to the file) and deadline.",
    )
    command.add_argument("goal", nargs="?", help="what is asked, in plain language; - reads it from stdin")
    command.add_argument("--file", metavar="GOAL.YAML", help="read the goal from a file")
    command.add_argument("--model", help="the model of this run (default: COHORT_MODEL, or the API's)")
    command.add_argument("--fallback-model", metavar="MODEL", help="takes over, once, where the model is not there")
    command.add_argument("--effort", choices=("low", "medium", "high"), help="how much the model is to think")
    command.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=N",
        help="what the run may use up: turns, minutes, tokens, dollars, attempts; may be repeated",
    )
    command.add_argument(
        "--resource",
        action="append",
        default=[],
        metavar="NAME=N",
        help="what a step gets that does not say what it needs: gpus, gpu_memory, cpu, memory, shm, nodes, image, pool "
        "(pool=A,B: these, in this order, and no others); may be repeated",
    )
    _rules(command)
    command.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    command.add_argument(
        "--input", action="append", default=[], metavar="PATH", help="a file or directory to work with; may be repeated"
    )
    command.add_argument("--deadline", metavar="TIME", help="when it has to be over: 2027-01-31T18:00:00Z")
    command.add_argument("--idempotency-key", metavar="KEY", help="the same key and goal give the same run")
    command.add_argument("--follow", action="store_true", help="show the run until it is over; Ctrl-C detaches")
    command.add_argument("--wait", action="store_true", help="wait silently until it is over")
    _json(command)


def _rules(command: ArgumentParser) -> None:
    command.add_argument(
        "--without-rule",
        action="append",
        default=[],
        metavar="RULE=WHY",
        help="switch a rule off for this run, with the reason: smoke_test, timeout, outputs, batch, seeds, "
        "effective_batch, evaluation_data; may be repeated",
    )
    command.add_argument(
        "--evaluation-data",
        action="append",
        default=[],
        metavar="PATTERN",
        help="input files that training must not touch; may be repeated",
    )
    command.add_argument(
        "--cost-line", type=float, metavar="DOLLARS", help="steps that could cost more must keep more rules"
    )


def _runs(commands: _Commands) -> None:
    command = commands.add_parser("runs", help="list runs, the newest first")
    command.add_argument("--status", help="only those with this status")
    command.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    command.add_argument("--text", help="only those whose goal contains this")
    command.add_argument("--limit", type=_count, default=20, metavar="N", help="at most so many (default: 20)")
    _json(command)


def _show(commands: _Commands) -> None:
    command = commands.add_parser("show", help="where a run stands")
    _run(command)
    _json(command)


def _why(commands: _Commands) -> None:
    command = commands.add_parser("why", help="why a run is where it is, and what would change that")
    _run(command)
    _json(command)


def _pools(commands: _Commands) -> None:
    _json(commands.add_parser("pools", help="what steps can run on, what is free there and what it costs"))


def _events(commands: _Commands) -> None:
    command = commands.add_parser("events", help="what happened in a run")
    _run(command)
    command.add_argument("-f", "--follow", action="store_true", help="go on until the run is over; Ctrl-C detaches")
    command.add_argument("--after", type=_count, default=0, metavar="N", help="only what came after event N")
    _json(command)


def _logs(commands: _Commands) -> None:
    command = commands.add_parser("logs", help="what a step's program wrote, byte for byte")
    _run(command)
    command.add_argument("step", metavar="STEP", help="the step's name")
    command.add_argument("-f", "--follow", action="store_true", help="go on until the attempt is over")
    command.add_argument("--attempt", type=_count, metavar="N", help="which attempt (default: the last)")
    command.add_argument("--rank", type=_count, metavar="R", help="on several nodes, which rank (default: all)")


def _diagnose(commands: _Commands) -> None:
    command = commands.add_parser(
        "diagnose", help="say why a program failed, from its log and exit code (needs no server)"
    )
    command.add_argument("--log", metavar="FILE", required=True, help="what the program wrote; - reads it from stdin")
    command.add_argument("--exit-code", type=int, metavar="N", help="how it ended, as a shell says it")
    command.add_argument("--reason", default="", help="what the platform calls its end: OOMKilled, DeadlineExceeded, …")
    command.add_argument("--pod", metavar="FILE", help="its pod, as `kubectl get pod -o json` prints it")
    _json(command)


def _metrics(commands: _Commands) -> None:
    command = commands.add_parser("metrics", help="list the series in what a program wrote (needs no server)")
    command.add_argument("--log", metavar="FILE", required=True, help="what the program wrote; - reads it from stdin")
    _json(command)


def _tools(commands: _Commands) -> None:
    command = commands.add_parser("tools", help="list the agent's tools, or use one (needs no server)")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Exact)
    listing = actions.add_parser("list", help="each tool with where it comes from and what it may do")
    _json(listing)
    using = actions.add_parser("run", help="use a tool as the agent would; those that work on a run are none of these")
    using.add_argument("name", metavar="NAME")
    using.add_argument(
        "arguments", metavar="JSON", nargs="?", default="{}", help="its arguments; - reads them from stdin"
    )
    _json(using)


def _message(commands: _Commands) -> None:
    command = commands.add_parser("message", help="say something to the agent")
    _run(command)
    command.add_argument("content", metavar="TEXT", help="what to say; - reads it from stdin")


def _cancel(commands: _Commands) -> None:
    command = commands.add_parser("cancel", help="end a run; its programs are stopped first")
    _run(command)
    command.add_argument("--why", default="", help="written into the run's log")


def _artifacts(commands: _Commands) -> None:
    command = commands.add_parser("artifacts", help="list or get what a run made")
    _run(command)
    inner = command.add_subparsers(dest="action", metavar="get")
    get = inner.add_parser("get", help="download one artifact")
    get.add_argument("path", metavar="PATH", help="its path, as listed")
    get.add_argument("-o", "--output", metavar="FILE", help="where to (default: its name, here; - is stdout)")
    _json(command)


def _workspace(commands: _Commands) -> None:
    command = commands.add_parser("workspace", help="list or get a run's files")
    _run(command)
    inner = command.add_subparsers(dest="action", metavar="get")
    get = inner.add_parser("get", help="download all files")
    get.add_argument(
        "-o",
        "--output",
        metavar="FILE|DIR",
        help="a name ending in .tar.gz or .tgz, - for stdout, or a directory (default: RUN/)",
    )
    _json(command)


def _keys(commands: _Commands) -> None:
    command = commands.add_parser("keys", help="create, list and revoke API keys (needs a key with scope admin)")
    inner = command.add_subparsers(dest="action", metavar="create|list|revoke", required=True)
    create = inner.add_parser("create", help="make a key; its secret is shown once")
    create.add_argument("name", help="what it is for")
    create.add_argument(
        "--scope",
        action="append",
        choices=admin_arguments.SCOPES,
        help="what it may do; may be repeated (default: submit, read and cancel)",
    )
    _json(create)
    _json(inner.add_parser("list", help="list keys, without their secrets"))
    inner.add_parser("revoke", help="make a key useless").add_argument("id", help="the key's id")


def _run(command: ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="the run's id")


def _json(command: ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)
