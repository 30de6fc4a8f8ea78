"""Read by PyInstaller where an app has this backend: it takes the drivers of databases along, which are imported by name."""

from spark_backend_sql.urls import DIALECTS

hiddenimports = sorted({module for dialect in DIALECTS.values() for module, _ in dialect.drivers})
warn_on_missing_hiddenimports = False  # those that are not installed
