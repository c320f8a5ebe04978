"""The heart: objects, their kinds, files and uploads, and what can be done to them.

`validation` turns bytes into a draft, `verbs` change rows by way of `changing`, `uploads` follow bytes to their file,
`reading` reads under an audience. Knows nothing of HTTP, and makes no network call.
"""
