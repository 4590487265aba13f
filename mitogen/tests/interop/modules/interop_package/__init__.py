"""A package whose members need each other."""
from interop_package import first
from interop_package.deep import second

NAMES = [first.NAME, second.NAME]


def names():
    return list(NAMES)
