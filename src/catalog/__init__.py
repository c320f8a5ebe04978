"""A metadata catalog and search service for scientific objects."""

from importlib.metadata import version

__version__ = version("science-catalog")
