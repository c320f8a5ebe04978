"""Who is calling, and what they may see and do.

`principals` turns a bearer token into a principal; `audience` is the only compiler from a principal
to an SQL condition and a search filter. Knows nothing of HTTP.
"""
