"""The whole system at work: real engines, real objects, one command.

Starts the embedded stack, the API and the indexer, registers and uploads what `objects/` describes, waits until the
store's notifications have made everything searchable, and shows a search, a download and a refusal. Uses the catalog
as anybody else would: over HTTP, by `catalog.client`; only the tokens are made from inside.
"""

import asyncio
import signal
from pathlib import Path
from typing import Literal

from catalog.demo.story import Story


def run(*, home: Path | None = None, store: Literal["seaweedfs", "minio"] | None = None, oneshot: bool = False) -> None:
    """Show the system at work; return after that with `oneshot`, else when interrupted."""
    asyncio.run(_tell(home, store, oneshot=oneshot))


async def _tell(home: Path | None, store: Literal["seaweedfs", "minio"] | None, *, oneshot: bool) -> None:
    over = asyncio.Event()
    story = Story(home, store, over)
    telling = asyncio.create_task(story.tell(oneshot=oneshot))

    def stop() -> None:
        # Once it only stays up to be tried, Ctrl-C is its proper end; before, everything is undone in order.
        over.set()
        if not story.told:
            telling.cancel()

    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop)
    try:
        await telling
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
