"""Measurements of sensors as tables or time series."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.references import ObjectId, Reference
from catalog.objects.sensing import PLACE_AND_TIME, Measured, Sensor


class SensorData(Metadata):
    """What only sensor data says: sensors and quantities with units; where and when stand in the coverage."""

    asked = PLACE_AND_TIME

    sensors: Annotated[list[Sensor], Field(min_length=1, max_length=1_000)]
    measured: Annotated[list[Measured], Field(min_length=1, max_length=500)]
    interval_seconds: Annotated[float, Field(gt=0, le=1e10, description="Between two measurements.")] | None = None
    calibration: Annotated[ObjectId, Field(description="The calibration that was applied.")] | None = None

    def references(self) -> Iterator[Reference]:
        """Name the calibration."""
        if self.calibration is not None:
            yield Reference("/metadata/calibration", self.calibration, ("calibration",))

    def instruments(self) -> Iterator[str]:
        """Name the sensors."""
        yield from (sensor.id for sensor in self.sensors)

    def searchable(self) -> Iterator[str | None]:
        """Tell the instruments and what they measured."""
        for sensor in self.sensors:
            yield from (sensor.id, sensor.model, sensor.manufacturer)
        yield from (measured.name for measured in self.measured)


KIND = Kind(
    name="sensor-data",
    title="Sensor data",
    description="Measurements of sensors as tables or time series.",
    metadata=SensorData,
    example={
        "kind": "sensor-data",
        "project": "demo/weather",
        "title": "Air temperature and pressure at node 42, May 2024",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "CC-BY-4.0",
        "visibility": "public",
        "coverage": {
            "spatial": {"point": {"latitude": 41.869, "longitude": -87.648}},
            "temporal": {"start": "2024-05-01T00:00:00Z", "end": "2024-06-01T00:00:00Z"},
        },
        "metadata": {
            "sensors": [{"id": "node-42/bme680", "model": "BME680", "manufacturer": "Bosch"}],
            "measured": [{"name": "env.temperature", "unit": "Cel"}, {"name": "env.pressure", "unit": "Pa"}],
            "interval_seconds": 30.0,
        },
        "files": [
            {
                "path": "2024-05.csv",
                "size": 3214870,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "text/csv",
            }
        ],
    },
)
