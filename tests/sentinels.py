"""A primary with a replica, and three Sentinels that watch them: real servers, on this machine."""

import subprocess
from pathlib import Path

import redis

from tests.servers import RedisServer, bound_to_us, free_port, program, wait_until

SERVICE = "mymaster"
_DOWN_MS = 500
_SECONDS = 60


class Sentinels:
    """Two redis-servers, one of them the primary, and three Sentinels. `options` are the servers' own."""

    def __init__(self, directory: Path, password: str = "", *options: str) -> None:
        self._password = password
        self._processes: list[subprocess.Popen[bytes]] = []
        self.servers = [RedisServer(directory / f"server-{number}", password) for number in range(2)]
        self.servers[0].start(*options)
        self.servers[1].start(*options, "--replicaof", "127.0.0.1", str(self.servers[0].port))
        self.ports = [self._sentinel(directory / f"sentinel-{number}") for number in range(3)]
        wait_until(self._is_watched, _SECONDS, "the Sentinels know each other and the replica")

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def url(self, database: int = 0) -> str:
        account = f":{self._password}@" if self._password else ""
        return f"redis+sentinel://{account}{self.hosts}/{database}?service={SERVICE}"

    def client(self, server: RedisServer) -> redis.Redis:
        return redis.Redis(port=server.port, password=self._password or None)

    def primary(self) -> RedisServer:
        """The server that the Sentinels name now."""
        with redis.Redis(port=self.ports[0]) as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SERVICE)
        return next(server for server in self.servers if server.port == int(port))

    def fail_over(self) -> RedisServer:
        """Kill the primary; the one that took its place, once it takes writes."""
        before = self.primary()
        before.kill()
        wait_until(lambda: self.primary() is not before and self._leads(self.primary()), _SECONDS, "another takes over")
        return self.primary()

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.kill()

    def _leads(self, server: RedisServer) -> bool:
        with self.client(server) as client:
            return bool(client.info("replication")["role"] == "master")

    def _sentinel(self, directory: Path) -> int:
        directory.mkdir(parents=True)
        port = free_port()
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            f"sentinel parallel-syncs {SERVICE} 1",
        ]
        if self._password:
            lines.append(f"sentinel auth-pass {SERVICE} {self._password}")
        config = directory / "sentinel.conf"
        config.write_text("\n".join(lines) + "\n")
        command = [program("redis-server", "redis-server"), str(config), "--sentinel"]
        with (directory / "log").open("wb") as log:
            self._processes.append(subprocess.Popen(bound_to_us(command), stdin=subprocess.DEVNULL, stdout=log))
        return port

    def _is_watched(self) -> bool:
        try:
            for port in self.ports:
                with redis.Redis(port=port) as sentinel:
                    known = sentinel.sentinel_master(SERVICE)
                if known["num-slaves"] != 1 or known["num-other-sentinels"] != 2:
                    return False
            with self.client(self.servers[1]) as client:
                return bool(client.info("replication")["master_link_status"] == "up")
        except redis.RedisError:
            return False
