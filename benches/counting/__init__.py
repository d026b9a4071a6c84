"""Requests of all kinds, counted on both sides: by clients, and by the status server of lowmem-serve."""
