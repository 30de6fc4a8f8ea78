"""What is stored: a record, what it consists of, and its bytes."""
