"""What becomes of a call that fails. It comes with the first one."""
import sys
import traceback
from mitogen.core import CallError, to_text

# Their frames are of no interest.
OURS = 'mitogen/core.py', 'mitogen/dispatch.py', 'mitogen/importer.py'


def call_error(kind, exc, tb):
    """The CallError that reports an exception."""
    text = '?'
    for show in repr, to_text:
        try:
            text = to_text(show(exc))
        except:
            # What user code raises may be unable to say what it is, and raise whatever it likes instead.
            pass
    text = ('%s.%s: %s' % (getattr(kind, '__module__', None), getattr(kind, '__name__', kind), text))[:4000]
    frames = [frame for frame in traceback.extract_tb(tb) if frame[0] not in OURS]
    if frames:
        text += '\n' + to_text(''.join(traceback.format_list(frames)))[-5000:]
    return CallError(to_text(text))


def find_owner(name):
    """The object that a name means when no module has it: the class `datetime.datetime`, or `os.environ`."""
    if name and '.' in name:
        parent, name = name.rsplit('.', 1)
        try:
            __import__(parent)
        except ImportError:
            return None
        return getattr(sys.modules[parent], name, None)
