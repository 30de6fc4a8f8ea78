"""How a run begins: at the start, or from a checkpoint, whose content is checked on the way."""
