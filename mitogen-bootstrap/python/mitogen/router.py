"""Who gets a message: a handler here, or the link towards its destination. No descriptor and no thread is known here; a link is anything with `send(msg)`."""
from mitogen.core import FORWARD_LOG, Context, Growing, IS_DEAD, Message, to_text


class Router(Growing):
    def __init__(self, context_id, parent_ids, limit):
        self.context_id = context_id
        self.parent_ids = parent_ids
        # Whose word is law here.
        self.trusted = [context_id] + parent_ids
        self.limit = limit
        # Where a destination lies; what is not listed lies beyond the parent.
        self.links = {}
        self.parent = None
        # handle -> (function, stays after its first message, only for trusted authors, the only context that may write or None)
        self.handlers = {}
        self.last_handle = 999
        self.contexts = {}

    def myself(self):
        return self.context_by_id(self.context_id, 'self')

    def context_by_id(self, context_id, name=None):
        # One object per context; setdefault is atomic, so any thread may ask.
        return self.contexts.setdefault(context_id, Context(self, context_id, name))

    def add_handler(self, fn, handle=None, persist=True, trusted=False, respondent=None):
        """Has `fn(msg)` called, on the thread that routes, for what comes to a handle (by default a new one), which is returned."""
        if not handle:
            # Only ever called on one thread.
            self.last_handle = handle = self.last_handle + 1
        self.handlers[handle] = fn, persist, trusted, respondent
        return handle

    def log(self, name, level, text):
        """Sends a log record to the root of the tree."""
        data = to_text('%s\0%d\0%s') % (to_text(name), level, to_text(text))
        self.route(Message(handle=FORWARD_LOG, data=data.encode('utf-8', 'replace')))

    def handle_message(self, msg, link):
        """Takes what came by a link. Nothing is answered to a message whose author cannot live behind that link."""
        links = self.links
        parent = self.parent
        if links.get(msg.auth_id, parent) is not link or msg.src_id != msg.auth_id and links.get(msg.src_id, parent) is not link:
            self.log('mitogen', 40, 'bad auth_id or src_id: %r' % (msg,))
            return
        self.route(msg, link)

    def route(self, msg, link=None):
        """Delivers or forwards a message; without a link it is ours."""
        me = self.context_id
        if msg.src_id is None:
            msg.src_id = me
        if msg.auth_id is None:
            msg.auth_id = me
        if msg.size() > self.limit:
            self.refuse(msg, 'message too large (max %d bytes)' % self.limit, True)
        elif msg.dst_id == me:
            self.deliver(msg)
        else:
            out = self.links.get(msg.dst_id)
            parent = self.parent
            if not out and (link is None or self.links.get(msg.src_id, parent) is not parent):
                out = parent
            if out:
                out.send(msg)
            else:
                self.refuse(msg, 'no route to %d, my ID is %d' % (msg.dst_id, me))

    def refuse(self, msg, reason, late=False):
        """Tells the author that his message died. One that was too large to answer tells whoever waits for it."""
        dst = msg.src_id
        handle = msg.reply_to
        if not handle or handle == IS_DEAD:
            if not late:
                return
            dst = msg.dst_id
            handle = msg.handle
        self.route(Message.dead(reason[:self.limit], dst_id=dst, handle=handle))

    def deliver(self, msg):
        handle = msg.handle
        try:
            fn, persist, trusted, respondent = self.handlers[handle]
        except KeyError:
            return self.refuse(msg, 'invalid handle')
        if trusted and msg.auth_id not in self.trusted:
            return self.refuse(msg, 'refused by policy')
        if respondent is not None and msg.reply_to != IS_DEAD and msg.src_id != respondent:
            return self.refuse(msg, 'reply from unexpected context')
        if not persist:
            del self.handlers[handle]
        fn(msg)
