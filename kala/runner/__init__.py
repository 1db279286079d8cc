"""Carry out single runs: commands, HTTP calls, output, limits. Nothing here knows the store, the loop or the server."""
