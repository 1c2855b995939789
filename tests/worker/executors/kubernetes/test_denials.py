"""What a cluster answers to a request it refuses, and who is told what."""

from typing import Any

import pytest

from services.core.taxonomy import Owner
from services.worker.executors.kubernetes.denials import denial_of, denial_of_status

POLICY = (
    "jobs.batch \"train\" is forbidden: ValidatingAdmissionPolicy 'teams' with binding 'teams' denied request: a Job "
    "needs the label team"
)
QUOTA = 'jobs.batch "train" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1, used: count/jobs.batch=9'
RANGE = 'pods "train" is forbidden: maximum memory usage per Container is 1Gi, but limit is 4Gi'
WEBHOOK = 'admission webhook "gate.example" denied the request: no team label'
AWAY = (
    'Internal error occurred: failed calling webhook "gate.example": failed to call webhook: Post "https://gate:443/": '
    "context deadline exceeded"
)
RATIO = (
    'pods "train" is forbidden: memory max limit to request ratio per Container is 1, but provided ratio is 2.000000'
)
ROLE = 'jobs.batch is forbidden: User "system:serviceaccount:a:b" cannot create resource "jobs" in API group "batch"'
ENV = "a valid environment variable name must consist only of printable ASCII characters other than '='"
FIELD = "spec.template.spec.containers[0].env[0].name"
GOING = {
    "message": 'jobs.batch "train" is forbidden: unable to create new content in namespace a',
    "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace a is being terminated"}]},
}
SELECTOR = {"field": "spec.template.spec.nodeSelector", "message": "Invalid value: a..b/c"}
POOL = {"message": "Job is invalid", "details": {"causes": [SELECTOR]}}
INVALID = {"message": "Job is invalid", "details": {"causes": [{"field": FIELD, "message": ENV}]}}


@pytest.mark.parametrize(
    ("status", "said", "code", "owner", "words"),
    [
        (
            422,
            {"message": POLICY},
            "pod_denied",
            Owner.PLATFORM,
            '"teams" forbids the step\'s Job: a Job needs the label',
        ),
        (403, {"message": QUOTA}, "quota_exceeded", Owner.PLATFORM, 'the quota "jobs" is used up'),
        (403, {"message": RANGE}, "limit_range", Owner.RESOURCES, "maximum memory usage per Container is 1Gi"),
        (403, {"message": WEBHOOK}, "pod_denied", Owner.PLATFORM, '"gate.example" forbids the step\'s Job: no team'),
        # A webhook that names no status answers with 400.
        (400, {"message": WEBHOOK}, "pod_denied", Owner.PLATFORM, '"gate.example" forbids the step\'s Job: no team'),
        (500, {"message": AWAY}, "webhook_failing", Owner.PLATFORM, 'webhook "gate.example" does not answer'),
        (403, {"message": RATIO}, "limit_range", Owner.RESOURCES, "memory max limit to request ratio per Container"),
        (403, GOING, "no_namespace", Owner.PLATFORM, "is being deleted"),
        (422, POOL, "pool_invalid", Owner.PLATFORM, "nodeSelector: Invalid value: a..b/c"),
        (403, {"message": ROLE}, "not_allowed", Owner.PLATFORM, "we may not make the step's Job"),
        (422, INVALID, "request_invalid", Owner.CODE, f"{FIELD}: {ENV}"),
        (400, {"message": "json: cannot unmarshal"}, "request_invalid", Owner.CODE, "json: cannot unmarshal"),
        (413, {}, "request_too_large", Owner.CODE, "too large"),
        (401, {"message": "Unauthorized"}, "not_authenticated", Owner.PLATFORM, "does not know us"),
        (404, {"message": 'namespaces "a" not found'}, "no_namespace", Owner.PLATFORM, "no place"),
        (409, {"message": "the object has been modified"}, "cluster_failing", Owner.PLATFORM, "trouble of its own"),
        (429, {"message": "too many requests"}, "cluster_failing", Owner.PLATFORM, "trouble of its own"),
        (500, {"message": "etcdserver: request timed out"}, "cluster_failing", Owner.PLATFORM, "trouble of its own"),
        (503, {}, "cluster_failing", Owner.PLATFORM, "trouble of its own"),
    ],
)
def test_a_refusal_is_told_to_whoever_can_mend_it(
    status: int, said: dict[str, Any], code: str, owner: Owner, words: str
) -> None:
    denial = denial_of_status(status, said)

    assert (denial.code, denial.owner) == (code, owner)
    assert words in denial.summary
    assert denial.remedy


def test_what_was_refused_beside_the_job_is_named() -> None:
    assert (
        "we may not make the Secret with the step's token"
        in denial_of_status(403, {"message": ROLE}, "secrets").summary
    )


def test_what_can_never_be_is_final_at_once_and_the_rest_is_asked_again() -> None:
    assert denial_of_status(422, INVALID).diagnosis(0.0, ()).is_final
    assert not denial_of_status(403, {"message": QUOTA}).diagnosis(3_600.0, ()).is_final
    passing = denial_of_status(503, {}).diagnosis(700.0, ("503",))
    assert (passing.is_final, passing.is_retriable, passing.evidence) == (True, True, ("503",))


def test_words_nobody_knows_are_passed_on() -> None:
    assert "no luck today" in denial_of("no luck today").summary
    assert len(denial_of("x" * 10_000).diagnosis(0.0, ()).summary) < 1_000
