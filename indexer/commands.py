"""`catalog-indexer run | drain`."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated

import typer

from catalog import logs
from catalog.engines import Engines, opened
from catalog.errors import CatalogError
from catalog.operations import scraping
from catalog.operations.figures import Gauges
from catalog.settings import Settings
from indexer import loop, streams
from indexer.amqp import Queue
from indexer.jetstream import Stream
from indexer.streams import Source

app = typer.Typer(
    name="catalog-indexer",
    help="Keeps database, stores and index in agreement. Any number may run at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Work until interrupted or terminated."""

    async def until_stopped(engines: Engines) -> None:
        streams.must_be_installed(settings)
        stop = asyncio.Event()
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sign, stop.set)
        door = scraping.Door(Gauges(engines.database, engines.placement.told), settings.metrics_token)
        async with (
            scraping.served(door, settings.indexer_metrics_host, settings.indexer_metrics_port),
            asyncio.TaskGroup() as working,
        ):
            for source in _sources(settings):
                working.create_task(streams.run(engines, source, stop), name=f"stream of {source.broker}")
            try:
                await loop.run(engines, stop)
            finally:
                stop.set()

    settings = _settings()
    _with_engines(settings, until_stopped)


@app.command()
def drain(
    limit: Annotated[float, typer.Option(min=1, help="Give up after this many seconds.")] = 600.0,
) -> None:
    """Work until the queue is empty, then end."""
    _with_engines(_settings(), lambda engines: loop.drain(engines, timedelta(seconds=limit)))


def _sources(settings: Settings) -> list[Source]:
    """Return the brokers that tell of keys."""
    found: list[Source] = []
    if settings.events is not None:
        found.append(Stream(settings.events))
    if settings.amqp_events is not None:
        found.append(Queue(settings.amqp_events))
    return found


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except CatalogError as fault:
        raise _told(fault) from None


def _told(fault: CatalogError) -> SystemExit:
    typer.echo(f"catalog-indexer: {fault.detail}", err=True)
    return SystemExit(1)


def _with_engines(settings: Settings, work: Callable[[Engines], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with opened(settings, service="catalog-indexer") as engines:
            await work(engines)

    logs.configure()
    try:
        asyncio.run(inside())
    except CatalogError as fault:
        raise _told(fault) from None


def main() -> None:
    """Run the command line."""
    app()
