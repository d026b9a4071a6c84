"""The programs that `benches/jobs.py` runs, ours and those of the peers."""
