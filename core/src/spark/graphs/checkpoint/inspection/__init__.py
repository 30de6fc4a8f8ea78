"""Looking at what is stored: raw, without the classes of the program; a history; and what differs between two checkpoints."""
