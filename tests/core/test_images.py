import pytest

from services.core.images import ImagePolicy, full_name, objection

DIGEST = "@sha256:" + "0f" * 32


@pytest.mark.parametrize(
    "image",
    ["python", "python:3.12", f"python{DIGEST}", "ghcr.io/acme/train:1.2", "localhost:5000/a/b", "a/b-c__d.e:T_1.2-3"],
)
def test_where_nothing_is_said_any_image_may_run(image: str) -> None:
    assert objection(image, ImagePolicy()) is None


@pytest.mark.parametrize(
    "image",
    [
        "",
        " ",
        "Python",
        "a b",
        "a:b:c",
        "a@sha256:12",
        "../a",
        "a//b",
        "https://ghcr.io/a",
        "a;rm",
        "a\n",
        "é",
        "a" * 600,
    ],
)
def test_what_is_no_reference_is_refused(image: str) -> None:
    assert "is no image reference" in (objection(image, ImagePolicy()) or "")


def test_a_mutable_tag_is_refused_where_a_digest_is_wanted() -> None:
    policy = ImagePolicy(digest="required")

    assert "may change under its tag, and this install wants a digest" in (objection("acme/train:1.2", policy) or "")
    assert objection(f"acme/train:1.2{DIGEST}", policy) is None


@pytest.mark.parametrize(
    ("image", "fits"),
    [
        ("ghcr.io/acme/train:1", True),
        ("ghcr.io/acme/deep/train", True),
        ("ghcr.io/acme-evil/train", False),
        ("evil.example/ghcr.io/acme/train", False),
        ("python:3.12", True),
        ("docker.io/library/python:3.12", True),
        ("redis", False),
    ],
)
def test_an_image_has_to_fit_a_pattern(image: str, fits: bool) -> None:
    policy = ImagePolicy(allowed=("ghcr.io/acme/*", "docker.io/library/python:*"))

    why = objection(image, policy)

    assert (why is None) is fits
    assert fits or "allowed are ghcr.io/acme/*, docker.io/library/python:*" in (why or "")


def test_the_patterns_of_a_pool_count_instead_of_the_installs() -> None:
    policy = ImagePolicy(allowed=("ghcr.io/acme/*",))

    assert objection("quay.io/lab/x", policy, ("quay.io/lab/*",)) is None
    assert objection("ghcr.io/acme/x", policy, ("quay.io/lab/*",)) is not None


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("python", "docker.io/library/python"),
        ("acme/x", "docker.io/acme/x"),
        ("localhost/x", "localhost/x"),
        ("reg:5000/x", "reg:5000/x"),
    ],
)
def test_short_names_are_those_of_docker(image: str, name: str) -> None:
    assert full_name(image) == name
