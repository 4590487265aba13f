"""What upstream's programs call to have a context start another one: `router.ssh(via=context)`."""
import sys
from mitogen.core import Error, Kwargs, to_text


def _proxy_connect(**given):
    # Their names are upstream's, and must not be shortened.
    options = Kwargs(given['kwargs'])
    if given['name']:
        options['name'] = given['name']
    context = None
    error = None
    try:
        context = given['router'].connect(given['method_name'], **dict(options))
    except Error:
        error = to_text(sys.exc_info()[1])
    # Its keys, and all that they lead to, are text.
    answer = [('id', context and context.context_id), ('name', context and to_text(context.name)), ('msg', error)]
    return dict([(to_text(key), value) for key, value in answer])


_proxy_connect.mitogen_takes_router = True
