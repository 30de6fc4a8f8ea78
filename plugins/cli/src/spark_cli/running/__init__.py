"""What ``spark run`` is made of besides the run itself: signals, due runs, and how a run ends."""
