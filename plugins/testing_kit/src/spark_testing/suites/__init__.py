"""The suites that plugins prove themselves by: one for each kind."""
