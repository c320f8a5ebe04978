"""A large recording of a sensor: images, sound, waveforms, grids."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line
from catalog.objects.sensing import Measured, Sensor


class SensorBlob(Metadata):
    """What only a sensor blob says."""

    sensor: Sensor
    measured: Annotated[list[Measured], Field(max_length=100)] = []
    sampling_rate_hz: Annotated[float, Field(gt=0, le=1e12)] | None = None
    encoding: Line | None = None

    def instruments(self) -> Iterator[str]:
        """Name the sensor."""
        yield self.sensor.id

    def searchable(self) -> Iterator[str | None]:
        """Tell the instrument and what it measured."""
        yield from (self.sensor.id, self.sensor.model, self.sensor.manufacturer, self.encoding)
        yield from (measured.name for measured in self.measured)


KIND = Kind(
    name="sensor-blob",
    title="Sensor blob",
    description="A large recording of a sensor: images, sound, waveforms, grids.",
    metadata=SensorBlob,
    example={
        "kind": "sensor-blob",
        "project": "demo/seismology",
        "title": "Vertical ground motion at station RJOB",
        "creators": [{"type": "organization", "name": "Seismological Service"}],
        "contact": {"name": "Data desk", "email": "data@example.org"},
        "visibility": "public",
        "coverage": {
            "spatial": {"point": {"latitude": 47.737, "longitude": 12.795}},
            "temporal": {"start": "2009-08-24T00:20:03Z", "end": "2009-08-24T00:20:33Z"},
        },
        "metadata": {
            "sensor": {"id": "BW.RJOB..EHZ"},
            "measured": [{"name": "ground velocity", "unit": "m/s"}],
            "sampling_rate_hz": 100.0,
            "encoding": "miniSEED",
        },
        "files": [
            {
                "path": "RJOB_061005_072159.mseed",
                "size": 26112,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "application/vnd.fdsn.mseed",
            }
        ],
    },
)
