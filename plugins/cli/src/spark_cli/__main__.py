"""``python -m spark_cli`` is ``spark``."""

from spark_cli.app import main

main()
