"""Tokens and logins of an OpenID provider."""
