"""Where objects come from and what was made of them: relations, activities, agents, lineage (W3C PROV, DataCite).

A relation is said by its subject, an activity by what it generated: whoever may see those may see what they say, and
nobody else. The other end may be hidden all the same, and then shows as a label that means nothing outside one answer.
Knows objects, and nothing of HTTP.
"""
