"""How a run begins: anew, or from a checkpoint, whose content is checked on the way."""
