"""Who may reach whom, by the NetworkPolicies alone: as Kubernetes documents them, for pods and one address outside."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rule = Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod, or, without a namespace, an address outside of the cluster."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""


def may_reach(policies: Sequence[Rule], one: End, other: End, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection from `one` to `other` is let out of the first and into the second."""
    return _is_open(policies, one, other, "Egress", other, port, protocol) and _is_open(
        policies, other, one, "Ingress", other, port, protocol
    )


def _is_open(policies: Sequence[Rule], pod: End, peer: End, way: str, target: End, port: int, protocol: str) -> bool:
    """An end that no policy of this direction selects is open; else one rule of one of them has to fit."""
    if not pod.namespace:
        return True
    selecting = [
        policy
        for policy in policies
        if policy["metadata"].get("namespace") == pod.namespace
        and way in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], pod.labels)
    ]
    side = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}[way]
    rules = [rule for policy in selecting for rule in policy["spec"].get(side[0], [])]
    return not selecting or any(
        _fits_port(rule.get("ports"), target, port, protocol) and _fits_peer(rule.get(side[1]), peer, pod.namespace)
        for rule in rules
    )


def _fits_port(ports: Sequence[Rule] | None, target: End, port: int, protocol: str) -> bool:
    if not ports:
        return True
    for one in ports:
        wanted = one.get("port", port)
        wanted = target.ports.get(wanted) if isinstance(wanted, str) else wanted
        if (
            one.get("protocol", "TCP") == protocol
            and wanted is not None
            and wanted <= port <= one.get("endPort", wanted)
        ):
            return True
    return False


def _fits_peer(peers: Sequence[Rule] | None, end: End, home: str) -> bool:
    if not peers:
        return True
    return any(_is_block(peer["ipBlock"], end) if "ipBlock" in peer else _is_pod(peer, end, home) for peer in peers)


def _is_block(block: Rule, end: End) -> bool:
    if not end.address:
        return False
    address = ipaddress.ip_address(end.address)
    return address in ipaddress.ip_network(block["cidr"]) and not any(
        address in ipaddress.ip_network(one) for one in block.get("except", [])
    )


def _is_pod(peer: Rule, end: End, home: str) -> bool:
    if not end.namespace:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": end.namespace}):
            return False
    elif end.namespace != home:
        return False
    return "podSelector" not in peer or _selects(peer["podSelector"], end.labels)


def _selects(selector: Rule, labels: Mapping[str, str]) -> bool:
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        there = expression["key"] in labels
        fits = {
            "Exists": there,
            "DoesNotExist": not there,
            "In": labels.get(expression["key"]) in expression.get("values", []),
            "NotIn": labels.get(expression["key"]) not in expression.get("values", []),
        }[expression["operator"]]
        if not fits:
            return False
    return True
