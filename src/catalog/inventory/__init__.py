"""What backends really hold: scans of them, hashes of what was found there, sums of it, and bytes that are read again.

`scanning` walks over a backend, `accounting` adds up, `fixity` remembers which bytes were read again and what came out.
Runs in the caller's transaction; the store is asked by the indexer. Knows nothing of HTTP, nor of how objects change.
"""
