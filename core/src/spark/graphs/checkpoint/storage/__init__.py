"""What authors of backends and formats import: the promises that they keep, and what is stored."""
