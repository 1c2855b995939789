"""Attempts as Kubernetes Jobs: one Job for each attempt, named after it, made once and never retried by the cluster.

- `manifest`: what is sent to the cluster for an attempt. Pure.
- `needs`: what a pod asks of its node. Pure.
- `client`: the only door to the Kubernetes API.
- `copies`: what the nodes keep of what programs wrote.
- `watching`: the Jobs, pods and events of the namespace, kept current by list and watch.
- `reading`: how far an attempt has come, from its Job and its pod. Pure.
- `ranks`: one view of an attempt that has several pods. Pure.
- `queueing`: where a Job stands in a queue of Kueue. Pure.
- `stopping`: how a Job is brought to its end.
- `valves`: how many Jobs may be in flight and how fast they are made.
- `put_off`: attempts that are not made yet, and why.
- `executor`: `KubernetesExecutor`, which puts these together.
"""
