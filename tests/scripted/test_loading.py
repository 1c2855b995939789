"""Reading playbooks: what is refused, and how it is said."""

from pathlib import Path

import pytest

from services.scripted.loading import PlaybookInvalid, load_playbook, load_playbooks
from tests.scripted.conversations import MINE, SHIPPED, playbook_of, write_playbook

HEAD = "about: a\nstart: one\nstates:\n"
SOUND = HEAD + "  one: {say: hi, next: two}\n  two: {say: bye}\n"


@pytest.mark.parametrize("directory", [SHIPPED, MINE], ids=["shipped", "of the tests"])
def test_every_playbook_here_is_sound(directory: Path) -> None:
    playbooks = load_playbooks(directory)

    assert {path.name for path in directory.iterdir() if path.is_dir()} == set(playbooks)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (HEAD + "  one: {say: hi, cal: []}\n", r"states.one.cal: Extra inputs are not permitted"),
        ("name: x\n" + SOUND, "name: unknown key"),
        (HEAD + "  one: {say: hi, next: [{goto: one, when: {match: x}}]}\n", r"states.one.next.0.when.match: Extra"),
        (HEAD + "  one: {say: hi, fault: {kind: status, status: 429, after: 1}}\n", r"fault.status.after: Extra"),
        (HEAD + "  one: {say: hi, fault: {kind: sulk}}\n", r"states.one.fault: .*sulk"),
        (HEAD + "  one: {say: hi, next: nowhere}\n", r"states.one.next.0.goto: there is no state 'nowhere'"),
        (HEAD.replace("one", "zero") + "  one: {say: hi, next: one}\n", r"start: there is no state 'zero'"),
        (HEAD + "  one: {say: hi}\n  two: {say: bye}\n", r"states.two: nothing leads here"),
        (HEAD + "  one: {}\n", r"states.one: has neither say, call nor next"),
        (HEAD + "  one: {next: one, fault: {kind: hang}}\n", r"states.one.fault: only a state that replies"),
        (HEAD + "  one: {say: 'hi ${who}'}\n", r"states.one: \$\{who\} is set nowhere"),
        (HEAD + "  one: {say: hi, next: [{goto: one, set: {turn: 1}}]}\n", r"turn is set by the scripted model"),
        (HEAD + "  one: {say: hi, next: [{goto: one}, {goto: one}]}\n", r"next.0: always holds"),
        (HEAD + "  one: {say: hi, next: [{goto: one, when: {matches: '('}}]}\n", r"is not a regular expression"),
        (HEAD + "  one: {say: hi}\n  one: {say: ho}\n", r"the key 'one' is given twice"),
        (HEAD + "  one: {call: [{tool: a, arguments: {b: {file: c.py}}}]}\n", r"file: c.py: no such file"),
        (HEAD + "  one: {call: [{tool: a, arguments: {b: {file: ../../c}}}]}\n", r"file: ../../c: no such file"),
        ("- a\n", "must be a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_a_mistake_is_refused_by_file_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    path = write_playbook(tmp_path, text)

    with pytest.raises(PlaybookInvalid, match=complaint) as refused:
        load_playbook(path)

    assert str(path) in str(refused.value)


def test_a_sound_playbook_is_called_by_its_directory(tmp_path: Path) -> None:
    assert playbook_of(tmp_path, SOUND).name == "sample"


def test_several_directories_are_read_as_one_and_a_name_may_be_given_once(tmp_path: Path) -> None:
    for place, name in (("one", "first"), ("other", "second"), ("third", "first")):
        directory = tmp_path / place / name
        directory.mkdir(parents=True)
        (directory / "playbook.yaml").write_text("about: Nothing.\nstart: end\nstates: {end: {say: done}}\n")
    assert [*load_playbooks(tmp_path / "one", tmp_path / "other")] == ["first", "second"]
    with pytest.raises(PlaybookInvalid, match=r"third/first/playbook.yaml: there already is"):
        load_playbooks(tmp_path / "one", tmp_path / "third")


def test_a_directory_without_playbooks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaybookInvalid, match="no playbooks here"):
        load_playbooks(tmp_path)


def test_arguments_may_be_merged_and_changed(tmp_path: Path) -> None:
    text = (
        HEAD + "  one: {call: [{tool: a, arguments: &one {b: 1, c: 2}}], next: two}\n"
        "  two: {call: [{tool: a, arguments: {<<: *one, c: 3}}]}\n"
    )

    playbook = load_playbook(write_playbook(tmp_path, text))

    assert playbook.states["two"].call[0].arguments == {"b": 1, "c": 3}
