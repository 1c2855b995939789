from services.core.tracebacks import Chain, Tracer


def traced(text: str) -> Tracer:
    tracer, offset = Tracer(), 0
    for line in text.split("\n"):
        tracer.read(line, offset)
        offset += len(line) + 1
    tracer.finish()
    return tracer


def frames(count: int, file: str = "train.py") -> str:
    return "".join(f'  File "{file}", line {n}, in f{n}\n    call({n})\n    ^^^^\n' for n in range(count))


def messages(chain: Chain) -> list[str]:
    return [part.message[0] for part in chain.parts]


HEADER = "Traceback (most recent call last):\n"


def test_an_exception_is_read_with_its_frames_and_place() -> None:
    tracer = traced(f"step 1\n{HEADER}{frames(2)}ValueError: bad\nstep 2\n")
    (chain,) = tracer.chains()
    assert (chain.rank, chain.offset, messages(chain)) == (None, 7, ["ValueError: bad"])
    assert [frame.lines[1] for frame in chain.parts[0].frames] == ["    call(0)", "    call(1)"]
    assert not tracer.is_open


def test_of_many_frames_the_last_and_the_users_own_last_are_kept() -> None:
    library = frames(40, "/opt/venv/lib/python3.11/site-packages/torch/x.py")
    (chain,) = traced(f"{HEADER}{frames(5)}{library}RuntimeError: deep\n").chains()
    (part,) = chain.parts
    assert part.frame_count == 45
    assert [frame.position for frame in part.frames] == [2, 3, 4, *range(37, 45)]


def test_causes_belong_to_the_exception() -> None:
    joined = "\nThe above exception was the direct cause of the following exception:\n\n"
    during = "\nDuring handling of the above exception, another exception occurred:\n\n"
    one = HEADER + frames(1)
    text = f"{one}KeyError: 1\n{joined}{one}OSError: 2\n{during}{one}ValueError: 3\n"
    (chain,) = traced(text).chains()
    assert messages(chain) == ["KeyError: 1", "OSError: 2", "ValueError: 3"]
    assert [part.joined_by for part in chain.parts] == ["", joined.strip(), during.strip()]


def test_a_message_goes_on_over_indented_lines() -> None:
    (chain,) = traced(
        f"{HEADER}{frames(1)}RuntimeError: Error(s) in loading:\n\tsize mismatch\n  and more\nnext\n"
    ).chains()
    assert chain.parts[0].message == ("RuntimeError: Error(s) in loading:", "\tsize mismatch", "  and more")


def test_interleaved_ranks_are_told_apart_by_their_prefix() -> None:
    ranks = [f"{HEADER}{frames(2)}ValueError: rank {rank}\n".splitlines() for rank in range(3)]
    lines = [f"[rank{rank}]: {line}" for row in zip(*ranks, strict=True) for rank, line in enumerate(row)]
    lines.insert(4, "a line of somebody else")
    tracer = traced("\n".join(lines))
    assert {chain.rank: messages(chain) for chain in tracer.chains()} == {
        0: ["ValueError: rank 0"],
        1: ["ValueError: rank 1"],
        2: ["ValueError: rank 2"],
    }


def test_a_bar_before_the_header_is_no_prefix() -> None:
    bar = " 45%|####      | 45/100 [00:01<00:01, 44.5it/s]"
    (chain,) = traced(f"{bar}{HEADER}{frames(2)}ValueError: x\n").chains()
    assert (messages(chain), chain.parts[0].frame_count) == (["ValueError: x"], 2)


def test_a_script_that_does_not_compile_has_no_header() -> None:
    (chain,) = traced('  File "train.py", line 3\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n').chains()
    assert messages(chain) == ["SyntaxError: invalid syntax"]


def test_the_first_and_the_last_are_kept_of_many() -> None:
    tracer = traced("".join(f"{HEADER}{frames(1)}ValueError: {n}\ntry again\n" for n in range(50)))
    assert [messages(chain) for chain in tracer.chains()] == [["ValueError: 0"], ["ValueError: 49"]]
    assert tracer.count == 50


def test_a_stack_without_an_exception_counts_for_nothing() -> None:
    assert list(traced(f"{HEADER}{frames(3)}").chains()) == []


def test_a_long_chain_keeps_its_root_and_its_end() -> None:
    during = "\nDuring handling of the above exception, another exception occurred:\n\n"
    (chain,) = traced(during.join(f"{HEADER}{frames(1)}ValueError: {n}\n" for n in range(100))).chains()
    assert (messages(chain)[0], messages(chain)[-1], len(chain.parts), chain.parts_left_out) == (
        "ValueError: 0",
        "ValueError: 99",
        12,
        88,
    )


def test_an_exception_group_is_kept_with_its_members() -> None:
    group = (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "a.py", line 1, in <module>\n'
        "  | ExceptionGroup: two (2 sub-exceptions)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | ValueError: one\n"
        "    +------------------------------------\n"
    )
    tracer = traced(f"{group}next\n")
    assert not tracer.is_open
