"""Copying records unchanged: from store to store, into a file, and out of one."""
