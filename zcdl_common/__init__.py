"""Training notebooks for microscopy: one helper package behind nine networks.

Importing this package loads no backend; a network's model is imported when it is first built.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("zcdl-common")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
