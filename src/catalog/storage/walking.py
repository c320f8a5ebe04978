"""Through a listing page by page, the next one on its way while one is worked on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from catalog.storage.listings import Page


async def ahead(pages: AsyncIterator[Page], most: int | None = None) -> AsyncGenerator[Page]:
    """Yield the pages, at most so many, and have the next one fetched while one is worked on; close it."""
    coming: asyncio.Task[Page | None] | None = asyncio.create_task(_next_of(pages))
    count = 0
    try:
        while coming is not None:
            page, coming = await coming, None
            if page is None:
                return
            count += 1
            coming = None if count == most else asyncio.create_task(_next_of(pages))
            yield page
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _next_of(pages: AsyncIterator[Page]) -> Page | None:
    return await anext(pages, None)
