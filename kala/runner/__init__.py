"""Carries out one run: commands, HTTP calls, output, limits. It knows no store, no loop and no server."""
