"""What the programs of a stack are started with: who gets which secret."""

from pathlib import Path

import pytest

from services.cli import environment
from services.cli.home import Home
from services.cli.programs import Given, Ports, Program, Secrets, redis_config, redis_program, service_programs

HOME = Home(Path("/somewhere/ho me"))
PORTS = Ports(api=8470, redis=7000, worker_metrics=7001, controller_metrics=7002)
SECRETS = Secrets(runner="runner-secret", redis="redis-secret")
ENVIRON = {
    "PATH": "/bin",
    "LC_ALL": "C.UTF-8",
    "ANTHROPIC_API_KEY": "sk-ant",
    "OPENAI_BASE_URL": "http://x",
    "HF_TOKEN": "hf_x",
    "AWS_SECRET_ACCESS_KEY": "aws",
    "COHORT_MODEL": "anthropic/x",
    "COHORT_MODEL_API_KEY": "own-key",
    "COHORT_WORKER_SLOTS": "4",
    "COHORT_KEY": "ck_client",
    "COHORT_REDIS_URL": "redis://elsewhere",
    "GITHUB_TOKEN": "ghp_x",
    "MY_PASSWORD": "pw",
}
PROVIDER = {"ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "COHORT_MODEL_API_KEY"}


def given() -> Given:
    return Given(environment.bare(ENVIRON), environment.tuning(ENVIRON), environment.of_provider(ENVIRON))


@pytest.fixture
def programs() -> dict[str, Program]:
    return {program.name: program for program in service_programs(HOME, PORTS, SECRETS, given())}


def test_only_the_worker_gets_the_providers_keys(programs: dict[str, Program]) -> None:
    assert set(programs["worker"].environ) >= PROVIDER
    for name in ("api", "controller"):
        assert not set(programs[name].environ) & PROVIDER
    assert not set(redis_program(HOME, "redis-server", given()).environ) & PROVIDER


def test_nobody_gets_what_nobody_needs(programs: dict[str, Program]) -> None:
    for program in programs.values():
        assert not set(program.environ) & {"COHORT_KEY", "GITHUB_TOKEN", "MY_PASSWORD"}
        assert program.environ["PATH"] == "/bin"


def test_the_runners_secret_is_for_who_signs_and_checks(programs: dict[str, Program]) -> None:
    has = {name for name, program in programs.items() if "runner-secret" in program.environ.values()}
    assert has == {"api", "controller"}


def test_the_users_settings_are_passed_on_but_the_stack_decides(programs: dict[str, Program]) -> None:
    for program in programs.values():
        assert program.environ["COHORT_WORKER_SLOTS"] == "4"
        assert program.environ["COHORT_REDIS_URL"] == "redis://:redis-secret@127.0.0.1:7000/0"
        assert program.environ["COHORT_BROKER_URL"] == "redis://:redis-secret@127.0.0.1:7000/1"
    assert programs["api"].environ["COHORT_MODEL"] == "anthropic/x"
    assert programs["controller"].environ["COHORT_API_URL"] == "http://127.0.0.1:8470"


def test_every_part_can_be_scraped_from_this_machine_alone(programs: dict[str, Program]) -> None:
    assert PORTS.metrics_urls == {
        "api": "http://127.0.0.1:8470/metrics",
        "worker": "http://127.0.0.1:7001/metrics",
        "controller": "http://127.0.0.1:7002/metrics",
    }
    assert programs["worker"].environ["COHORT_WORKER_METRICS_PORT"] == "7001"
    assert programs["controller"].environ["COHORT_CONTROLLER_METRICS_PORT"] == "7002"
    assert {programs[name].environ["COHORT_METRICS_HOST"] for name in ("worker", "controller")} == {"127.0.0.1"}


def test_no_secret_is_an_argument_or_shown_by_repr(programs: dict[str, Program]) -> None:
    for program in [*programs.values(), redis_program(HOME, "redis-server", given())]:
        shown = " ".join(program.command) + repr(program)
        for secret in ("redis-secret", "runner-secret", "sk-ant", "own-key"):
            assert secret not in shown


def test_redis_is_durable_and_for_this_machine_alone() -> None:
    lines = redis_config(HOME, PORTS, SECRETS).splitlines()
    for line in ("bind 127.0.0.1", "port 7000", "requirepass redis-secret", "appendonly yes"):
        assert line in lines
    assert 'dir "/somewhere/ho me/redis"' in lines


def test_a_proxy_is_not_asked_for_this_machine() -> None:
    bare = environment.bare({"HTTP_PROXY": "http://proxy", "no_proxy": "internal"})
    assert bare["HTTP_PROXY"] == "http://proxy"
    assert bare["no_proxy"] == bare["NO_PROXY"] == "internal,127.0.0.1,localhost"


def test_the_scripted_model_takes_the_place_of_the_users() -> None:
    programs = service_programs(HOME, Ports(api=1, redis=2, scripted=3), SECRETS, given())
    worker = next(program for program in programs if program.name == "worker")
    assert worker.environ["COHORT_MODEL_BASE_URL"] == "http://127.0.0.1:3/v1"
    assert worker.environ["COHORT_MODEL_API_KEY"] == "none-needed"
