import gzip
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from pydantic import SecretStr

from services.worker.web.addresses import Hosts
from services.worker.web.cache import DiskCache
from services.worker.web.client import Access, Wanted, Web
from services.worker.web.failures import Busy, Gated, NotAllowed, NotThere, Odd, TooLarge, Unreachable, WebError
from services.worker.web.transport import Place
from tests.servers import free_port
from tests.worker.web.server import Answering, Asked, Told, WebServer, in_turn

Serve = Callable[[Answering], WebServer]
ANYBODY = Access()


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(WebServer(answer))


class Clock:
    """A time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class MakeWeb(Protocol):
    def __call__(self, *trusted: Place, cache: DiskCache | None = None, clock: Clock | None = None) -> Web: ...


@pytest.fixture
def web() -> Iterator[MakeWeb]:
    with ExitStack() as stack:

        def make(*trusted: Place, cache: DiskCache | None = None, clock: Clock | None = None) -> Web:
            clock = clock or Clock()
            made = Web(cache, trusted, clock.sleep, clock)
            stack.callback(made.close)
            return made

        yield make


def test_an_answer_is_what_was_sent(serve: Serve, web: MakeWeb) -> None:
    server = serve(lambda _: Told(body=b'{"a": 1}'))
    answer = web(server.place).ask(Wanted(f"{server.url}/x?q=1"), ANYBODY)
    assert answer.json() == {"a": 1}
    [asked] = server.asked
    assert (asked.method, asked.path, asked.headers["user-agent"]) == ("GET", "/x?q=1", "cohort-agent")


def test_a_body_is_sent_as_json(serve: Serve, web: MakeWeb) -> None:
    server = serve(lambda _: Told())
    web(server.place).ask(Wanted(server.url, method="POST", body={"text": "ü"}), ANYBODY)
    assert json.loads(server.asked[0].body) == {"text": "ü"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/"])
def test_a_machine_that_is_not_on_the_internet_is_never_asked(serve: Serve, url: str, web: MakeWeb) -> None:
    server = serve(lambda _: Told())
    with pytest.raises(NotAllowed, match="not on the internet"):
        web().ask(Wanted(url.format(port=server.place[1])), ANYBODY)
    assert server.asked == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/secret", "//127.0.0.1:{port}/", "http://169.254.169.254/latest"]
)
def test_a_redirect_leads_nowhere_that_could_not_be_asked_for(serve: Serve, target: str, web: MakeWeb) -> None:
    inner = serve(lambda _: Told(body=b"hidden"))
    outer = serve(lambda _: Told(302, headers={"Location": target.format(port=inner.place[1])}))
    with pytest.raises(NotAllowed):
        web(outer.place).ask(Wanted(outer.url), ANYBODY)
    assert inner.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "http://",
        "https://user:pw@example.com/",
        "http://example.com:99999/",
        "x",
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str, web: MakeWeb) -> None:
    with pytest.raises(NotAllowed):
        web().ask(Wanted(url), ANYBODY)


def test_a_host_that_the_tenant_may_not_reach_is_refused_before_its_name_is_looked_up(web: MakeWeb) -> None:
    with pytest.raises(NotAllowed, match="none of the hosts"):
        web().ask(Wanted("https://never-looked-up.invalid/"), Access(Hosts(("arxiv.org",))))


def test_a_token_goes_to_its_own_host_and_not_along_with_a_redirect(serve: Serve, web: MakeWeb) -> None:
    other = serve(lambda _: Told(body=b'"there"'))
    hub = serve(lambda _: Told(307, headers={"Location": f"{other.url}/blob"}))
    access = Access(tokens={hub.place: ("Authorization", SecretStr("Bearer hf_secret"))})
    assert web(hub.place, other.place).ask(Wanted(hub.url), access).json() == "there"
    assert hub.asked[0].headers["authorization"] == "Bearer hf_secret"
    assert "authorization" not in other.asked[0].headers
    assert "hf_secret" not in repr(access)


def test_redirects_end_somewhere(serve: Serve, web: MakeWeb) -> None:
    server = serve(lambda _: Told(302, headers={"Location": "/again"}))
    with pytest.raises(Odd, match="without an end"):
        web(server.place).ask(Wanted(server.url), ANYBODY)
    assert len(server.asked) == 6


def test_a_request_that_changes_something_is_not_sent_on_elsewhere(serve: Serve, web: MakeWeb) -> None:
    server = serve(lambda _: Told(307, headers={"Location": "/elsewhere"}))
    with pytest.raises(Odd, match="nothing was sent there"):
        web(server.place).ask(Wanted(server.url, method="POST", body={}), ANYBODY)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("told", "kind", "says"),
    [
        (Told(404, b'{"error": "Repository not found"}'), NotThere, "Repository not found"),
        (Told(410), NotThere, "check the name"),
        (Told(401), Gated, "token"),
        (Told(403, b'{"message": "Access to this is restricted"}'), Gated, "restricted"),
        (Told(400, b'{"detail": "no such field"}'), Odd, "no such field"),
    ],
)
def test_what_cannot_be_had_says_why_and_is_asked_for_once(
    serve: Serve, told: Told, kind: type[WebError], says: str, web: MakeWeb
) -> None:
    server = serve(lambda _: told)
    with pytest.raises(kind, match=says):
        web(server.place).ask(Wanted(server.url), ANYBODY)
    assert len(server.asked) == 1


def test_what_passes_is_waited_for(serve: Serve, web: MakeWeb) -> None:
    server, clock = serve(in_turn(Told(503), Told(429, headers={"Retry-After": "7"}), Told(body=b"1"))), Clock()
    assert web(server.place, clock=clock).ask(Wanted(server.url), ANYBODY).json() == 1
    assert clock.slept == [1.0, 7.0]


def test_what_does_not_pass_is_told_after_a_few_tries(serve: Serve, web: MakeWeb) -> None:
    server, clock = serve(lambda _: Told(500)), Clock()
    with pytest.raises(Busy, match="in trouble"):
        web(server.place, clock=clock).ask(Wanted(server.url), ANYBODY)
    assert (len(server.asked), clock.slept) == (3, [1.0, 2.0])


def test_who_says_to_come_again_much_later_is_not_waited_for(serve: Serve, web: MakeWeb) -> None:
    server, clock = serve(lambda _: Told(429, headers={"Retry-After": "3600"})), Clock()
    with pytest.raises(Busy) as busy:
        web(server.place, clock=clock).ask(Wanted(server.url), ANYBODY)
    assert busy.value.again_in_seconds == 3600
    assert (len(server.asked), clock.slept) == (1, [])


def test_what_may_have_happened_is_not_asked_for_again(serve: Serve, web: MakeWeb) -> None:
    server = serve(lambda _: Told(500))
    with pytest.raises(Busy):
        web(server.place).ask(Wanted(server.url, method="POST", body={}, is_repeatable=False), ANYBODY)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_unreachable(web: MakeWeb) -> None:
    port, clock = free_port(), Clock()
    with pytest.raises(Unreachable, match="could not be reached"):
        web(("127.0.0.1", port), clock=clock).ask(Wanted(f"http://127.0.0.1:{port}/"), ANYBODY)
    assert len(clock.slept) == 2


def test_an_answer_that_is_cut_off_is_no_answer(serve: Serve, web: MakeWeb) -> None:
    server = serve(lambda _: Told(body=b'{"a":', is_cut=True))
    with pytest.raises(Unreachable):
        web(server.place).ask(Wanted(server.url), ANYBODY)


@pytest.mark.parametrize("announces", [True, False])
def test_no_more_is_read_than_was_asked_for(serve: Serve, announces: bool, web: MakeWeb) -> None:
    bomb = gzip.compress(b"0" * 2**22)
    told = Told(body=b"0" * 2**20) if announces else Told(body=bomb, headers={"Content-Encoding": "gzip"})
    server = serve(lambda _: told)
    with pytest.raises(TooLarge):
        web(server.place).ask(Wanted(server.url, max_bytes=2**16), ANYBODY)


def test_a_page_where_data_was_due_is_odd(serve: Serve, web: MakeWeb) -> None:
    server = serve(lambda _: Told(body=b"<html>", content_type="text/html"))
    with pytest.raises(Odd, match="sent text/html"):
        web(server.place).ask(Wanted(server.url), ANYBODY).json()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("grüß".encode("latin-1"), "text/plain; charset=ISO-8859-1"), ("grüß".encode(), "text/plain; charset=x-none")],
)
def test_text_is_read_as_its_charset_says(serve: Serve, body: bytes, content_type: str, web: MakeWeb) -> None:
    server = serve(lambda _: Told(body=body, content_type=content_type))
    assert web(server.place).ask(Wanted(server.url), ANYBODY).text() == "grüß"


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", 2**20)


def test_a_fresh_answer_is_not_asked_for_again_and_an_old_one_only_whether_it_changed(
    serve: Serve, cache: DiskCache, web: MakeWeb
) -> None:
    def answer(asked: Asked) -> Told:
        if asked.headers.get("if-none-match") == '"1"':
            return Told(304, b"")
        return Told(body=b'"first"', headers={"ETag": '"1"'})

    server, clock = serve(answer), Clock()
    one = web(server.place, cache=cache, clock=clock)
    wanted = Wanted(server.url, fresh_seconds=60)
    assert one.ask(wanted, ANYBODY).json() == "first"
    clock.now += 50
    again = one.ask(wanted, ANYBODY)
    assert (again.json(), again.age_seconds, len(server.asked)) == ("first", 50.0, 1)
    clock.now += 50
    assert one.ask(wanted, ANYBODY).age_seconds == 0.0
    assert len(server.asked) == 2
    # Another process, with the same disk.
    assert web(server.place, cache=cache, clock=clock).ask(wanted, ANYBODY).json() == "first"
    assert len(server.asked) == 2


def test_where_a_server_is_away_what_was_kept_is_said_to_be_stale(serve: Serve, cache: DiskCache, web: MakeWeb) -> None:
    server, clock = serve(in_turn(Told(body=b'"old"'), Told(503))), Clock()
    one = web(server.place, cache=cache, clock=clock)
    wanted = Wanted(server.url, fresh_seconds=60)
    one.ask(wanted, ANYBODY)
    clock.now += 1_000
    answer = one.ask(wanted, ANYBODY)
    assert (answer.json(), answer.is_stale) == ("old", True)
    assert answer.age_seconds >= 1_000


def test_what_one_token_opened_is_not_shown_without_it(serve: Serve, cache: DiskCache, web: MakeWeb) -> None:
    server = serve(lambda asked: Told(200 if "authorization" in asked.headers else 401, b'"private"'))
    one, wanted = web(server.place, cache=cache), Wanted(server.url, fresh_seconds=1e9)
    mine = Access(tokens={server.place: ("Authorization", SecretStr("Bearer mine"))})
    assert one.ask(wanted, mine).json() == "private"
    with pytest.raises(Gated):
        one.ask(wanted, ANYBODY)
    assert one.ask(wanted, mine).json() == "private"
    assert len(server.asked) == 2
    assert not any(b"mine" in path.read_bytes() for path in cache._directory.rglob("*") if path.is_file())


def test_an_entry_that_was_damaged_is_fetched_again(serve: Serve, cache: DiskCache, web: MakeWeb) -> None:
    server = serve(lambda _: Told(body=b'"whole"'))
    one, wanted = web(server.place, cache=cache), Wanted(server.url, fresh_seconds=1e9)
    one.ask(wanted, ANYBODY)
    for path in cache._directory.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xff")
    assert one.ask(wanted, ANYBODY).json() == "whole"
    assert len(server.asked) == 2


def test_the_disk_holds_no_more_than_it_may_and_lets_go_of_what_was_not_used(
    serve: Serve, tmp_path: Path, web: MakeWeb
) -> None:
    server = serve(lambda asked: Told(body=b"0" * 10_000))
    cache = DiskCache(tmp_path, 100_000)
    one = web(server.place, cache=cache)
    for number in range(60):
        one.ask(Wanted(f"{server.url}/{number}", fresh_seconds=1e9), ANYBODY)
        one.ask(Wanted(f"{server.url}/0", fresh_seconds=1e9), ANYBODY)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 100_000
    assert sum(asked.path == "/0" for asked in server.asked) == 1


def test_ten_answers_are_waited_for_at_once(serve: Serve, web: MakeWeb) -> None:
    all_have_asked = threading.Barrier(10, timeout=30)

    def answer(_: Asked) -> Told:
        all_have_asked.wait()
        return Told()

    server = serve(answer)
    one = web(server.place)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda n: one.ask(Wanted(f"{server.url}/{n}"), ANYBODY), range(10)))
    assert len(answers) == 10
