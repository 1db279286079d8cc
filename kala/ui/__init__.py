"""The web UI: pages for people, made from the answers of the API's routes."""
