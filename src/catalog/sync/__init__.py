"""Agreement of the index with the database: what a document is made of, where the two differ, and how that is mended.

`projecting` makes documents, `comparing` finds what differs, `mending` has it put right, `rounds` tell how far the
indexer is with both. Knows nothing of HTTP and writes no document: the indexer alone does.
"""
