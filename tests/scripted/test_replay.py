"""What a playbook replies to a conversation."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.scripted.conversation import ConversationInvalid
from services.scripted.faults import ArgumentsFault, ContentFault
from services.scripted.playbook import Playbook
from services.scripted.replay import FinishReason, Unanswerable, next_reply, spoilt
from tests.scripted.conversations import answers, assistant, playbook_of, states, user

BRANCHES = r"""
about: Branches on what comes back.
start: try
variables: {limit: 3}
states:
  try:
    say: Trying.
    call:
      - {tool: bash, arguments: {command: make}}
      - {tool: read, arguments: {path: log.txt}}
    next:
      - when: {tool: bash, matches: 'error in line (?P<line>\d+)'}
        goto: mend
      - when: {tool: read, matches: '^accuracy=(?P<accuracy>[\d.]+)$', at_least: {accuracy: 0.9}}
        goto: done
      - when: {tool: read, matches: '^accuracy='}
        goto: low
      - when: {not_matches: 'busy', user_matches: 'stop because (?P<why>\w+)'}
        goto: stopped
      - when: {at_least: {turn: '${limit}'}}
        goto: give-up
      - when: {matches: again}
        goto: try
  mend:
    call:
      - {tool: edit, arguments: {path: a.py, line: '${line:int}', around: ['${line:int-2}', 'L${line}']}}
    next: try
  done: {say: 'Accuracy ${accuracy}.'}
  low: {say: 'Too low.'}
  stopped: {say: 'Stopped: ${why}.'}
  give-up: {say: 'Gave up after ${turn}.'}
"""


@pytest.fixture
def branches(tmp_path: Path) -> Playbook:
    return playbook_of(tmp_path, BRANCHES)


@pytest.mark.parametrize(
    ("rounds", "visited"),
    [
        ([], ["try"]),
        ([("error in line 7", "")], ["try", "mend"]),
        ([("", "error in line 7, but in the log; again")], ["try", "try"]),
        ([("error in line 7", ""), "edited", ("", "x\naccuracy=0.95")], ["try", "mend", "try", "done"]),
        ([("", "accuracy=0.5")], ["try", "low"]),
        (
            [
                ("", "the accuracy=0.95"),
            ],
            None,
        ),
        ([("again", ""), ("again", ""), ("again", "")], ["try", "try", "try", "give-up"]),
        ([("error in line 7", "accuracy=0.95")], ["try", "mend"]),
    ],
)
def test_the_first_rule_that_holds_is_taken(branches: Playbook, rounds: list[Any], visited: list[str] | None) -> None:
    if visited is None:
        with pytest.raises(Unanswerable):
            states(branches, "goal", *rounds)
    else:
        assert states(branches, "goal", *rounds) == visited


def test_captures_fill_later_arguments_and_become_numbers_where_asked(branches: Playbook) -> None:
    first = next_reply(branches, [user("goal")])
    second = next_reply(branches, [user("goal"), assistant(first), *answers(first, "error in line 7", "")])

    assert json.loads(second.calls[0].arguments) == {"path": "a.py", "line": 7, "around": [5, "L7"]}


def test_what_a_user_says_between_two_replies_is_heard(branches: Playbook) -> None:
    first = next_reply(branches, [user("goal")])
    so_far = [user("goal"), assistant(first), *answers(first, "", "")]

    assert next_reply(branches, [*so_far, user("stop because rain")]).text == "Stopped: rain."
    parts = [{"type": "text", "text": "stop "}, {"type": "text", "text": "because snow"}]
    assert next_reply(branches, [*so_far, {"role": "user", "content": parts}]).text == "Stopped: snow."


def test_a_conversation_that_does_not_fit_names_the_state_and_what_came_back(branches: Playbook) -> None:
    first = next_reply(branches, [user("goal")])

    with pytest.raises(Unanswerable, match=r"state try: no rule .*bash: 'surprise'.*read: 'z{200}'"):
        next_reply(branches, [user("goal"), assistant(first), *answers(first, "surprise", "z" * 999)])


def test_the_end_of_a_playbook_is_said(branches: Playbook) -> None:
    with pytest.raises(Unanswerable, match="state low: the playbook ends here"):
        states(branches, "goal", ("", "accuracy=0.5"), "and now?")


def test_a_reply_of_another_playbook_does_not_fit(branches: Playbook) -> None:
    foreign = {"role": "assistant", "content": "Hello."}

    with pytest.raises(Unanswerable, match=r"reply 1 should call \['bash', 'read'\] but has \[\]"):
        next_reply(branches, [user("goal"), foreign, user("go on")])


def test_the_same_messages_get_the_same_reply_and_each_call_an_id_of_its_own(branches: Playbook) -> None:
    messages = [user("goal")]
    ids: list[str] = []
    for _ in range(2):
        reply = next_reply(branches, messages)
        assert next_reply(branches, messages) == reply
        ids += [call.id for call in reply.calls]
        messages += [assistant(reply), *answers(reply, "again")]

    assert ids == ["call_0001_1", "call_0001_2", "call_0002_1", "call_0002_2"]


SILENT = r"""
about: Reads the goal first.
start: read
states:
  read:
    next:
      - when: {user_matches: 'turns=(?P<turns>\d+)'}
        goto: chosen
        set: {doubled: 'twice ${turns}'}
      - goto: circle
  chosen: {next: speak}
  speak:
    say: '${turns}, ${doubled}.'
    next:
      - when: {matches: 'never', within: conversation}
        goto: circle
      - when: {user_matches: 'turns=(?P<turns>\d+)', within: conversation}
        goto: speak
  circle: {next: circle}
"""


def test_a_state_that_says_nothing_chooses_from_the_goal_already(tmp_path: Path) -> None:
    assert next_reply(playbook_of(tmp_path, SILENT), [user("turns=25")]).text == "25, twice 25."


def test_a_circle_of_silent_states_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unanswerable, match="goes round in a circle without a reply: read, circle"):
        next_reply(playbook_of(tmp_path, SILENT), [user("hello")])


def test_within_the_conversation_the_latest_counts(tmp_path: Path) -> None:
    playbook = playbook_of(tmp_path, SILENT)
    reply = next_reply(playbook, [user("turns=1")])
    messages = [user("turns=1"), assistant(reply), user("turns=2"), assistant(reply), user("well?")]

    assert next_reply(playbook, messages).text.startswith("2,")


def test_files_beside_the_playbook_are_arguments_as_they_stand_or_filled(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "run.sh").write_text("echo ${HOME} ${who}\n")
    playbook = playbook_of(
        tmp_path,
        """
about: Files.
start: write
variables: {HOME: home, who: me}
states:
  write:
    call:
      - {tool: write, arguments: {raw: {file: run.sh}, filled: [{file: run.sh, fill: true}]}}
""",
    )

    arguments = json.loads(next_reply(playbook, [user("goal")]).calls[0].arguments)

    assert arguments == {"raw": "echo ${HOME} ${who}\n", "filled": ["echo home me\n"]}


CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([{"role": "assistant", "tool_calls": [CALL]}, user("hm")], "no answer to: c1"),
        ([{"role": "tool", "tool_call_id": "c1", "content": ""}], "'c1' isn't one"),
        ([{"role": "assistant", "content": "a"}, {"role": "tool", "tool_call_id": "c1"}], "'c1' isn't one"),
        ([{"role": "narrator", "content": "a"}], "no role 'narrator'"),
        ([{"role": "assistant", "tool_calls": [{"id": "c1"}]}], "needs an id and a function name"),
    ],
)
def test_messages_out_of_order_are_refused_as_a_provider_does(
    branches: Playbook, messages: list[Any], complaint: str
) -> None:
    with pytest.raises(ConversationInvalid, match=complaint):
        next_reply(branches, [user("goal"), *messages])


def test_faults_of_the_content_spoil_a_reply(branches: Playbook) -> None:
    sound = next_reply(branches, [user("goal")])

    unreadable = spoilt(sound, ArgumentsFault(kind="bad_arguments", arguments="[1"))
    assert [call.arguments for call in unreadable.calls] == ["[1", sound.calls[1].arguments]
    cut = spoilt(sound, ContentFault(kind="length"))
    assert cut.finish_reason is FinishReason.LENGTH
    assert sound.calls[1].arguments.startswith(cut.calls[1].arguments)
    assert cut.calls[1].arguments != sound.calls[1].arguments
    empty = spoilt(sound, ContentFault(kind="empty"))
    assert (empty.text, empty.calls, empty.finish_reason) == ("", (), FinishReason.STOP)


def test_a_reply_that_its_fault_has_spoilt_is_given_again(tmp_path: Path) -> None:
    playbook = playbook_of(tmp_path, BRANCHES.replace("say: Trying.", "say: Trying.\n    fault: {kind: empty}"))
    empty = {"role": "assistant", "content": ""}

    again = next_reply(playbook, [user("goal"), empty, user("Your reply was empty.")])

    assert (again.state, again.calls[0].id) == ("try", "call_0002_1")
