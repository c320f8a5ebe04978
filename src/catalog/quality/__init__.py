"""How good an object's record is: what is there, what is missing, what is broken, and how to mend it.

`assessing` is pure: facts in, a report out. `facts` reads what it takes, many objects at once. `tables` keeps the last
assessment, which the indexer makes whenever it indexes an object: search counts it, and curators' queues come from it.
"""
