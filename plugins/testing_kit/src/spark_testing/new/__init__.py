"""Projects for authors of plugins: ``python -m spark_testing new KIND NAME``."""
