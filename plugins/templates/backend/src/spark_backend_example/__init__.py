"""Checkpoints of spark-graphs in a folder of small files; the class is in ``spark_backend_example.backend``."""
