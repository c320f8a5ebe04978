"""What lies outside the catalog: addresses that objects name, and whether anything is there.

Looks from afar, with bounds, and never lets who registers an object use us to reach into our own network. Knows
addresses alone: what names them is for `objects` to say.
"""
