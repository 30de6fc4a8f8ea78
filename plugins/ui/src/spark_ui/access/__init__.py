"""What the pages read: one store, through its manager, and what is kept of it for a while."""
