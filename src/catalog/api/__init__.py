"""HTTP: the only room, beside the pages, that knows Litestar and JSON on the wire.

One module per noun in the URL. Each handler parses, calls one verb or reading inside a visible transaction, answers.
"""
