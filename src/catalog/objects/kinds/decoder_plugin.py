"""Code that turns a sensor's raw bytes into named values."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line
from catalog.objects.references import Git, Outside
from catalog.objects.sensing import Measured


class DecoderPlugin(Metadata):
    """What only a decoder plugin says; its source must be said."""

    source: Git
    language: Line | None = None
    entry_point: Line | None = None
    sensors: Annotated[list[Line], Field(max_length=100, description="Sensor models it decodes.")] = []
    values: Annotated[list[Measured], Field(max_length=100, description="What it makes of the bytes.")] = []

    def outside(self) -> Iterator[Outside]:
        """Name the source."""
        yield Outside("/metadata/source", self.source.address)

    def searchable(self) -> Iterator[str | None]:
        """Tell what it decodes and where its source is."""
        yield from self.sensors
        yield from (value.name for value in self.values)
        yield from (self.language, self.source.url, self.source.commit)


KIND = Kind(
    name="decoder-plugin",
    title="Decoder plugin",
    description="Code that turns a sensor's raw bytes into named values.",
    metadata=DecoderPlugin,
    example={
        "kind": "decoder-plugin",
        "project": "demo/edge",
        "title": "Decoder of the BME680 environment sensor",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "Apache-2.0",
        "visibility": "public",
        "metadata": {
            "source": {
                "url": "https://git.example.org/edge/decoders.git",
                "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
                "path": "bme680",
            },
            "language": "Python",
            "entry_point": "bme680:decode",
            "sensors": ["BME680"],
            "values": [{"name": "env.temperature", "unit": "Cel"}, {"name": "env.pressure", "unit": "Pa"}],
        },
    },
)
