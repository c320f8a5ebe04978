"""Who is calling, and what they may see and do.

`principals` turns a bearer token of ours into a caller, `scopes` says what a token is good for, `tokens` and `accounts`
are what people do with theirs and with those of services, and `audit` is who changed what. `oidc` judges the tokens of
an OpenID provider, `provider` asks it, and `identities` knows whose principal is meant. `login` and `sessions` are for
the pages. `audience` is the only compiler from a principal to an SQL condition and a search filter. Knows nothing of
HTTP.
"""
