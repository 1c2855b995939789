"""Tests on the cluster that KUBECONFIG names. `make test-cluster` runs them; `.ci/cluster` brings one up."""
