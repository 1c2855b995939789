"""A step gets the secrets its tenant may have, and is told why it does not get others."""

import pytest

from services.core.step_secrets import StepSecret, refused

HUB = StepSecret(name="hub", env="HF_TOKEN", secret="hf", key="token")
OTHER_HUB = StepSecret(name="other-hub", env="HF_TOKEN", secret="hf-other", key="token")
LAB = StepSecret(name="lab", env="LAB_TOKEN", secret="lab", key="token", tenants=("research", "vision"))
KNOWN = (HUB, OTHER_HUB, LAB)


@pytest.mark.parametrize(
    ("tenant", "names", "env", "why"),
    [
        ("acme", [], [], ""),
        ("acme", ["hub"], ["LR"], ""),
        ("vision", ["hub", "lab"], [], ""),
        ("acme", ["lab"], [], "there is no secret 'lab' for this step; there are: hub, other-hub"),
        ("acme", ["nix"], [], "there is no secret 'nix' for this step; there are: hub, other-hub"),
        ("acme", ["hub"], ["HF_TOKEN"], "hub sets HF_TOKEN, which env sets too; leave one of them out"),
        ("acme", ["hub", "other-hub"], [], "other-hub sets HF_TOKEN, which hub sets too; leave one of them out"),
        ("acme", ["hub", "hub"], [], "hub sets HF_TOKEN, which hub sets too; leave one of them out"),
    ],
)
def test_secrets_are_given_or_refused_in_words(tenant: str, names: list[str], env: list[str], why: str) -> None:
    assert refused(KNOWN, tenant, names, env) == why


def test_where_there_are_none_that_is_said() -> None:
    assert refused((), "acme", ["hub"], []) == "there is no secret 'hub' for this step; there are: none"
