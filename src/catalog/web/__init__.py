"""The pages: what the API answers, for people; nothing on them needs a script.

Owns wording, layout and the two small style sheets. Asks the API's own functions, never the database or the index.
"""
