"""What a run has at any moment, as plain data: state that is changed in transactions, and pending work."""
