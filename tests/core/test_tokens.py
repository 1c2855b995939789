"""The runner's credential."""

import hmac

import pytest

from services.core.tokens import OLDEST_PROTOCOL, PROTOCOL, BadToken, WrongProtocol, check, check_protocol, issue

SECRET, ATTEMPT, NOW = "a secret", "rk3v9x2m4q8aa-train-1", 1000.0
TOKEN = issue(SECRET, ATTEMPT, NOW + 60)


def test_a_token_is_good_for_its_attempt_until_it_expires() -> None:
    check(SECRET, ATTEMPT, TOKEN, now=NOW)
    check(SECRET, ATTEMPT, TOKEN, now=NOW + 60)
    with pytest.raises(BadToken, match="expired"):
        check(SECRET, ATTEMPT, TOKEN, now=NOW + 61)


def test_the_same_statement_is_the_same_token_so_that_a_restarted_controller_can_issue_it_again() -> None:
    assert issue(SECRET, ATTEMPT, NOW + 60) == TOKEN


def test_a_token_is_no_good_for_another_attempt() -> None:
    with pytest.raises(BadToken, match="another attempt"):
        check(SECRET, ATTEMPT[:-1] + "2", TOKEN, now=NOW)


def test_a_token_signed_with_another_secret_is_not_ours() -> None:
    with pytest.raises(BadToken, match="no token of ours"):
        check(SECRET, ATTEMPT, issue("another", ATTEMPT, NOW + 60), now=NOW)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "...",
        "v1",
        TOKEN[:-1],
        TOKEN + "0",
        TOKEN.replace("v1.", "v2."),
        TOKEN.replace("1060", "9999"),
        TOKEN.upper(),
        TOKEN.replace(".", " "),
        "v1.a.b.c.d",
        "v1.ü.1.é",
        "\x00" * 10,
    ],
)
def test_anything_else_is_no_token(token: str) -> None:
    with pytest.raises(BadToken):
        check(SECRET, ATTEMPT, token, now=NOW)


@pytest.mark.parametrize("place", range(0, len(TOKEN), 7))
def test_a_changed_character_anywhere_spoils_it(place: int) -> None:
    other = "b" if TOKEN[place] == "a" else "a"
    with pytest.raises(BadToken):
        check(SECRET, ATTEMPT, TOKEN[:place] + other + TOKEN[place + 1 :], now=NOW)


@pytest.mark.parametrize("spoken", [0, PROTOCOL + 1, 99])
def test_a_good_token_of_a_protocol_that_is_not_understood_says_what_is(spoken: int) -> None:
    head = f"v{spoken}.{ATTEMPT}.{int(NOW + 60)}"
    token = f"{head}.{hmac.new(SECRET.encode(), head.encode(), 'sha256').hexdigest()}"
    with pytest.raises(WrongProtocol, match=f"protocol {spoken}, and this API {PROTOCOL}"):
        check(SECRET, ATTEMPT, token, now=NOW)


def test_every_protocol_from_the_oldest_to_ours_is_understood() -> None:
    for spoken in range(OLDEST_PROTOCOL, PROTOCOL + 1):
        check_protocol(spoken)
