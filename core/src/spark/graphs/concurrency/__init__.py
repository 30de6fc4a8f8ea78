"""The event loop and threads: what leaves the loop, what may stay on it, and how long anybody waits."""
