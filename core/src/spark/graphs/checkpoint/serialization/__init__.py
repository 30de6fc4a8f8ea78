"""Objects to plain trees, which any format can write, and back."""
