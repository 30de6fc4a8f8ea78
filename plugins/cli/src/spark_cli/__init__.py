"""The ``spark`` command."""
