"""``python -m spark_cli`` is ``spark``."""

from spark_cli.main import main

main()
