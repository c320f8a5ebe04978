"""Reading what a store answers, up to a size and for so long: its owner may be nobody we trust."""

import asyncio
from datetime import timedelta

import httpx2

from catalog.errors import Unavailable


class TooLong(Unavailable):
    """A store's answer is longer than any of its kind."""


async def whole(response: httpx2.Response, *, bytes_max: int, patience: timedelta) -> bytes:
    """Return all of an answer as it was sent; raises TooLong, Unavailable where it takes too long to come."""
    came = bytearray()
    try:
        # The library's limits are for each step: a store that trickles could take as long as it likes.
        async with asyncio.timeout(patience.total_seconds()):
            async for chunk in response.aiter_raw():
                came += chunk
                if len(came) > bytes_max:
                    raise TooLong(f"The store's answer has more than {bytes_max:,} bytes.")
    except TimeoutError:
        raise Unavailable("The store did not finish its answer in time.") from None
    return bytes(came)
