"""Protocols frame by frame, for clients that have to see more than a library shows."""
