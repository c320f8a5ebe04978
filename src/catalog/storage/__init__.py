"""Where the bytes are: keys, signed links, one S3 bucket, and what buckets tell us.

`keys` lays out the bucket, `signing` makes links offline, `s3` talks to the store, `notifications` reads what a
store sends. Knows nothing of objects, permissions or HTTP routes: whoever asks for a link has been checked before.
"""
