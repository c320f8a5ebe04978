"""The curator's desk: queues of what needs attention, and changes of many objects that can be looked at and undone.

Owners find their own objects here, curators all. Knows nothing of HTTP.
"""
