"""Events that an ingestion service announces: what they look like, and what is done about them.

`shapes` has the envelope, the types and their JSON Schemas, `taking` does what an event asks for. An event is a hint
here too: it says where to look, never what lies there. Knows nothing of HTTP, nor of what brought an event.
"""
