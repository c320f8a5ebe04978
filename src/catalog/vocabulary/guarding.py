"""Reading a file that somebody sent: in a process of its own, which can be stopped and can reach nothing."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE

import msgspec

from catalog.errors import Fault, Invalid
from catalog.vocabulary import skos
from catalog.vocabulary.skos import Read
from catalog.vocabulary.terms import Vocabulary

# One at a time leaves the other cores to those who search.
_turn = asyncio.Semaphore(1)


async def read(body: bytes, media_type: str) -> Vocabulary:
    """Return the vocabulary in a file; raises Invalid with every fault, each with the URI of its concept."""
    refused = skos.refusal(body, media_type)
    if refused is not None:
        raise Invalid(refused)
    async with _turn:
        told, code = await _apart(body, media_type)
    if code != 0:
        raise Invalid(
            f"Reading the file took more than {skos.PARSE_SECONDS_MAX} s or "
            f"{skos.PARSE_MEMORY_BYTES_MAX >> 20} MiB of memory, and was given up."
        )
    return judged(msgspec.msgpack.decode(told, type=Read))


def judged(outcome: Read) -> Vocabulary:
    """Return the vocabulary; raises Invalid with what is wrong instead."""
    if outcome.vocabulary is not None:
        return outcome.vocabulary
    concerned = [one for one in outcome.wrong if one.uri]
    if not concerned:
        raise Invalid(outcome.wrong[0].message)
    count = len(outcome.wrong) + outcome.more
    shown = f"; the first {len(outcome.wrong)} are listed" if outcome.more else ""
    raise Invalid(
        f"The vocabulary has {count} fault{'s' if count > 1 else ''}{shown}.",
        faults=[Fault(one.uri, f"{one.uri} {one.message}", one.suggestion) for one in outcome.wrong],
    )


async def _apart(body: bytes, media_type: str) -> tuple[bytes, int]:
    # Nothing of ours in its environment: it needs no secret, and no proxy.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "catalog.vocabulary.skos",
        media_type,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={},
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(body), skos.PARSE_SECONDS_MAX)
    except TimeoutError:
        return b"", 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return told, process.returncode or 0
