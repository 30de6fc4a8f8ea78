"""A checkpoint's content to a record, and back."""
