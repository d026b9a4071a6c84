"""The parts of benches/case.py: the site's states, the load, a day, the pair, and the picture."""
