"""Which rows of docs/requirements.md a passing test proves.

A test names the rows it proves: `@pytest.mark.req("SAGE-STORAGE-13")`. `rows.py` reads the list of rows,
`plugin.py` watches a test run and writes down the proofs, `python -m tests.trace` prints both side by side.
"""
