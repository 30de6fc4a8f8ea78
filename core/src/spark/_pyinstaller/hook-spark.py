"""Read by PyInstaller where an app imports ``spark``: what it can't see in the code, since plugins are found at run time."""

from PyInstaller.utils.hooks import copy_metadata

from spark._pyinstaller.collecting import data_files, distributions, modules

hiddenimports = modules()
datas = data_files() + [each for name in distributions() for each in copy_metadata(name)]
warn_on_missing_hiddenimports = False  # such as a library for compression that is not installed
