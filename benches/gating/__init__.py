"""The parts of benches/gate.py.

python        which Python a figure was taken with
idle          the weight of an idle process tree
instructions  machine instructions for a request, counted by callgrind
record        the recorded figures, and what has grown beyond them
"""
