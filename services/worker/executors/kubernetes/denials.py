"""What it means when the cluster refuses a request, for whoever can mend it. Pure.

The status decides where it can. Quotas, policies, webhooks and limits answer with one status or another: those are told
apart by how the API server words them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.core.records import Diagnosis
from services.core.taxonomy import Failure, Owner

_SOON, _PASSING, _LONG = 60.0, 600.0, 24 * 3600.0
_MOST = 300
_AGAIN = "it is tried again by itself"

_QUOTA = re.compile(r"(?:exceeded|status unknown for) quota: (?P<name>[^,\s]+)")
_RANGE = re.compile(
    r"(?P<why>(?:(?:maximum|minimum) \S+ usage|\S+ max limit to request ratio) per (?:Container|Pod) is .*)"
)
_WEBHOOK = re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request:? ?(?P<why>.*)')
_POLICY = re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)'.* denied request: ?(?P<why>.*)")
_SECURITY = re.compile(r"violates PodSecurity \S+?:? (?P<why>[a-zA-Z].*)")
_UNANSWERED = re.compile(r'failed calling webhook "(?P<name>[^"]+)"')
_AWAY = re.compile(r"timeout|connection refused|Internal error|etcdserver")
# Fields of a Job that are made of its pool.
_OF_POOL = ("spec.template.spec.nodeSelector", "spec.template.spec.tolerations")
_WHATS = {"jobs": "the step's Job", "secrets": "the Secret with the step's token", "services": "the step's Service"}


@dataclass(frozen=True)
class Denial:
    """One refused request. `patience`: for how many seconds it may be asked again before it counts."""

    code: str
    owner: Owner
    summary: str
    remedy: str
    patience: float
    is_retriable: bool = False
    failure: Failure = Failure.UNSCHEDULABLE

    def diagnosis(self, waited: float, evidence: tuple[str, ...]) -> Diagnosis:
        """What is wrong with an attempt that has met it for `waited` seconds."""
        left = self.patience - waited
        return Diagnosis(
            failure=self.failure,
            owner=self.owner,
            code=self.code,
            summary=self.summary[: 2 * _MOST],
            evidence=evidence,
            remedy=self.remedy,
            is_final=left <= 0,
            is_retriable=self.is_retriable,
            wait_seconds=max(0.0, left),
        )


def denial_of(message: str, what: str = "the step's pod") -> Denial:
    """What an answer without a status means, such as the Job controller hands on. `what` was to be made."""
    if found := _QUOTA.search(message):
        remedy = "it starts when other steps end; the operator can raise the quota"
        return Denial("quota_exceeded", Owner.PLATFORM, f'the quota "{found["name"]}" is used up', remedy, _LONG)
    if found := _RANGE.search(message):
        summary = f"the namespace's limits forbid {what}: {found['why']}"
        return Denial("limit_range", Owner.RESOURCES, summary, "ask for what the namespace allows", _SOON)
    if found := _WEBHOOK.search(message) or _POLICY.search(message):
        return _denied(f'the cluster\'s policy "{found["name"]}" forbids {what}: {found["why"]}')
    if found := _SECURITY.search(message):
        return _denied(f"the namespace's pod security forbids {what}: {found['why']}")
    if found := _UNANSWERED.search(message):
        return _unanswered(found["name"], what)
    if _AWAY.search(message):
        return _failing(what)
    return _denied(f"the cluster refuses to make {what}: {message[:_MOST]}")


def denial_of_status(status: int, said: Mapping[str, Any], kind: str = "jobs") -> Denial:
    """What an answer of the API means: its HTTP status, and the Status object it said. `kind` was to be made."""
    what = _WHATS[kind]
    message = str(said.get("message") or "")
    if any(known.search(message) for known in (_QUOTA, _RANGE, _WEBHOOK, _POLICY, _SECURITY, _UNANSWERED)):
        return denial_of(message, what)
    match status:
        case 400 | 422:
            return _invalid(said, what, message)
        case 413:
            remedy = "put long commands and values into a file of the workspace"
            return Denial("request_too_large", Owner.CODE, f"{what} is too large", remedy, 0.0, failure=Failure.CONFIG)
        case 401:
            remedy = "the operator has to renew the controller's kubeconfig or token"
            return Denial("not_authenticated", Owner.PLATFORM, "the cluster does not know us any more", remedy, _LONG)
        case 403 if any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(said)):
            remedy = "the operator has to wait until the namespace is gone, and to create it again"
            return Denial("no_namespace", Owner.PLATFORM, "the namespace of the steps is being deleted", remedy, _LONG)
        case 403:
            remedy = "the operator has to bind the deployment's role to the controller's service account"
            return Denial("not_allowed", Owner.PLATFORM, f"we may not make {what}: {message[:_MOST]}", remedy, _LONG)
        case 404:
            remedy = "the operator has to create the namespace, or correct its name in the settings"
            return Denial("no_namespace", Owner.PLATFORM, f"there is no place for {what}", remedy, _LONG)
        case _:
            # 409, 410, 429 and all that the cluster blames on itself.
            return _failing(what)


def _invalid(said: Mapping[str, Any], what: str, message: str) -> Denial:
    """What is wrong with one of the pool's own settings, only the operator can mend."""
    wrong = [cause for cause in _causes(said) if cause.get("field")]
    fields = "; ".join(f"{cause['field']}: {cause.get('message')}" for cause in wrong)
    summary = f"{what} is not valid: {(fields or message)[:_MOST]}"
    if wrong and all(str(cause["field"]).startswith(_OF_POOL) for cause in wrong):
        remedy = "the operator has to correct the pool"
        return Denial("pool_invalid", Owner.PLATFORM, summary, remedy, _LONG, failure=Failure.CONFIG)
    remedy = "correct what is named, in the step or in its pool"
    return Denial("request_invalid", Owner.CODE, summary, remedy, 0.0, failure=Failure.CONFIG)


def _denied(summary: str) -> Denial:
    remedy = "the operator has to allow such pods, or to change the pool so that its pods are allowed"
    return Denial("pod_denied", Owner.PLATFORM, summary, remedy, _SOON)


def _failing(what: str) -> Denial:
    summary = f"the cluster has trouble of its own, and does not make {what} now"
    return Denial("cluster_failing", Owner.PLATFORM, summary, _AGAIN, _PASSING, is_retriable=True)


def _unanswered(name: str, what: str) -> Denial:
    summary = f'the cluster\'s webhook "{name}" does not answer, and without it the cluster does not make {what}'
    remedy = f"the operator has to bring the webhook back or to remove it; {_AGAIN}"
    return Denial("webhook_failing", Owner.PLATFORM, summary, remedy, _LONG, is_retriable=True)


def _causes(said: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What is wrong, one by one: `field`, `message`, `reason`, as far as they are said."""
    return (said.get("details") or {}).get("causes") or ()
