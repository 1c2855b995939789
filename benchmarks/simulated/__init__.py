"""Two thousand steps on a simulated fleet of GPU nodes: real API server, scheduler and Job controller, no programs.

Pods are simulated by kwok, and their runners are played here, over the runner's real protocol. `KUBECONFIG` names the
cluster: 100 nodes with the taint `nvidia.com/gpu` and 8 such resources each.
"""
