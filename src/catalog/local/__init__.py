"""The embedded stack: real Postgres, OpenSearch and an S3 server as local processes, without Docker or root.

Owns where engines come from (wheels, jars, a build), how they are started, watched and stopped, and the one data
folder in which all of that lies. Knows nothing of objects: what runs on the engines gets addresses and keys as
environment variables, the same that a deployment sets.
"""

from catalog.local.stack import Stack

__all__ = ["Stack"]
