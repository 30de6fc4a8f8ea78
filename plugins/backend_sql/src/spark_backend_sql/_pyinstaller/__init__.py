"""Read by PyInstaller alone: how an app gets what is found at run time."""
