"""What the services agree on. A thing enters only if two services need it; nothing here imports a service."""
