from __future__ import absolute_import
from interop_package import first

NAME = first.NAME + u" and second"


def where():
    return u"%s" % __name__
