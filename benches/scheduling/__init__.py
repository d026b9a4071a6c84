"""What `benches/jobs.py` runs, ours and that of the peers."""
