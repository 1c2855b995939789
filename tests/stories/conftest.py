"""The house of all stories, begun with the first that is asked for."""

from collections.abc import Iterator

import pytest

from tests.stories.house import PLAYBOOKS, House, house_in

# Where tests are distributed, all of these go to one process, which starts the one house.
GROUP = pytest.mark.xdist_group("stories")
# They run into deadlines that must be long enough for a busy machine to have begun by then.
LONGEST = ("deadline", "hang")
# The first of them waits until the house is up.
TIME = pytest.mark.timeout(240)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "stories" in item.path.parts:
            item.add_marker(GROUP)
            item.add_marker(TIME)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A stack that plays every story by now, but the one whose test has to do something while it runs."""
    with house_in(tmp_path_factory.mktemp("house")) as house:
        others = sorted({path.name for path in PLAYBOOKS.iterdir()} - {*LONGEST, "preemption"})
        for story in [*LONGEST, *others]:
            house.play(story)
        yield house
