"""What a trial install consists of: valid objects, and no secret outside of a Secret."""

import json

import kubernetes_validate
import pytest

from deploy.trial import manifests
from deploy.trial.manifests import Images, Manifest, Place

PLACE, IMAGES = Place("cohort-1"), Images.tagged("test", "busybox:1.35")
SECRETS = {"api": ("redis",), "worker": ("redis", "model"), "controller": ("redis",)}


def everything() -> list[Manifest]:
    return [
        *manifests.namespaces(PLACE),
        *manifests.roles(PLACE),
        *manifests.disk(PLACE),
        manifests.directory_keeper(PLACE, IMAGES.shell),
        manifests.secret(PLACE, "redis", {"COHORT_REDIS_URL": "redis://:hidden@host"}),
        manifests.front(PLACE),
        *manifests.services(PLACE, IMAGES, {"COHORT_LOG_LEVEL": "info"}, SECRETS),
    ]


@pytest.mark.parametrize("minor", ["1.30", "1.34"])
def test_every_object_is_valid(minor: str) -> None:
    for body in everything():
        kubernetes_validate.validate(body, minor, strict=True)


def test_the_controllers_account_is_where_no_step_runs_and_its_role_where_they_do() -> None:
    found = {(body["kind"], body["metadata"].get("namespace", "")) for body in manifests.roles(PLACE)}
    assert found == {
        ("ServiceAccount", PLACE.name),
        ("Role", PLACE.steps),
        ("RoleBinding", PLACE.steps),
        ("ClusterRole", ""),
        ("ClusterRoleBinding", ""),
    }
    bindings = [body for body in manifests.roles(PLACE) if "subjects" in body]
    assert {subject["namespace"] for body in bindings for subject in body["subjects"]} == {PLACE.name}


def test_a_secret_is_in_its_secret_alone() -> None:
    assert [body["kind"] for body in everything() if "hidden" in json.dumps(body)] == ["Secret"]
