"""How long things are kept: rules, holds, what is due, and how it goes: an object first, its bytes afterwards.

Everything is looked at twice, far apart, and by the database's clock. Knows nothing of HTTP; that a DOI, a job or a
lineage names an object it learns from their tables, by name alone.
"""
