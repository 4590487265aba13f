NAME = u"first"
