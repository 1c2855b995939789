"""The shim and the sidecar: real processes, real files, real HTTP."""
