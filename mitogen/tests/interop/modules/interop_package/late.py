VALUE = u"late"
