"""Jobs: computations outside the catalog that are given files and give files back.

A job is an object of the kind `job`; here stands what happens to it beside that: it is open, and it ends. Knows nothing
of HTTP, and nothing of what runs the computation.
"""
