"""The version that this process runs."""

from importlib.metadata import PackageNotFoundError, version


def product_version() -> str:
    """Return the installed version of reflexd, or ``unknown`` when it runs from a tree that was never installed."""
    try:
        return version("reflexd")
    except PackageNotFoundError:
        return "unknown"
