"""The index: what a document holds, what may be asked, and how both travel to the engine.

`document` owns the mapping and the projection, `query` turns a question into a request and an answer into what was
found, `index` reads and writes, `connection` is the one importer of the engine's library. Postgres stays the truth.
"""
