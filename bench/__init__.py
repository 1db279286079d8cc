"""Kala's speed and resource use, measured from outside, compared with a peer of the same API and with the machine."""
