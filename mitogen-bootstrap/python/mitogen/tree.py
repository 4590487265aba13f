"""The parent half of a router: routes to descendants, who hears of their loss, and whose modules come from here. No descriptor and no thread is known here.

A child's link is anything with `send(msg)` and the attributes of `Branch`.
"""
import sys
from bisect import bisect, insort
from mitogen import core
from mitogen.core import FORWARD_LOG, SHUTDOWN, Message, to_text
from mitogen.library import FORWARD_MODULE, Library  # noqa: F401
from mitogen.router import Router as Leaf

ADD_ROUTE = 103
DEL_ROUTE = 104
DETACHING = 109
# Who was given which ids; only between our own.
GRANT = 205
# How many destinations are noted for one link, and how many contexts it may claim. More of the former count as "all".
MANY = 65536


# Called with the ids of lost contexts.
mourners = []


def lose(router, ids):
    """Ends all that waits for answers of lost contexts."""
    me = router.context_id
    for handle, entry in list(router.handlers.items()):
        if entry[3] in ids and router.handlers.pop(handle, None):
            entry[0](Message.dead('the respondent Context has disconnected', src_id=me, auth_id=me, dst_id=me, handle=handle))
    for fn in mourners:
        fn(ids)


class All(object):
    """Too many to list."""

    def __contains__(self, _):
        return True

    def add(self, _):
        pass
    discard = add


class Branch(object):
    """What the router keeps of a link, besides its way to send."""
    # The context at the far end.
    remote_id = None
    # The contexts that lie there, and those that were written to from there.
    routes = ()
    egress = All()
    # A frame from there was refused; the next ones are refused in silence.
    suspect = False
    # Names of the modules that went there.
    modules = ()
    # It has said that it will close the link and live on.
    detached = False

    def grow(self, remote_id):
        self.remote_id = remote_id
        self.routes = set()
        self.egress = set()
        self.modules = set()


class Grants(object):
    """Whom ids were given, of those that may be announced here: blocks of them, each with its owner."""

    def __init__(self):
        # The first id of each block, in order; first id -> (the id behind the last one, owner).
        self.firsts = []
        self.blocks = {}

    def note(self, first, end, owner):
        if first not in self.blocks:
            insort(self.firsts, first)
        self.blocks[first] = end, owner

    def owner(self, context_id):
        at = bisect(self.firsts, context_id)
        if at:
            end, owner = self.blocks[self.firsts[at - 1]]
            if context_id < end:
                return owner

    def forget(self, first):
        del self.firsts[bisect(self.firsts, first) - 1]
        return self.blocks.pop(first)[1]

    def forget_single(self, context_id):
        """It was announced, or will not be; returns whose it was, if it was given alone."""
        if self.blocks.get(context_id, (0,))[0] == context_id + 1:
            return self.forget(context_id)

    def forget_owners(self, owners):
        owners = set(owners)
        for first, block in list(self.blocks.items()):
            if block[1] in owners:
                self.forget(first)


class Router(Leaf):
    """The router of a context with children. It takes the place of the other kind's class while that runs."""
    # The links to children, in the order of their birth.
    branches = ()
    # Only contexts of which one descends from the other may talk.
    unidirectional = False

    def grow(self, importer, unidirectional=False):
        """Prepares all that the new class needs."""
        self.branches = []
        self.grants = Grants()
        self.unidirectional = unidirectional
        self.library = library = Library(self, importer)
        # A context that only sent so far may have handlers of its own for some.
        def add(fn, handle, persist=True, trusted=False):
            self.handlers[handle] = fn, persist, trusted, None

        add(self.handle_add_route, ADD_ROUTE)
        add(self.handle_del_route, DEL_ROUTE)
        add(self.handle_detaching, DETACHING)
        add(self.handle_grant, GRANT)
        library.grow(add)

    def way(self, dst, src, auth, link):
        """The link by which a frame that came by `link` goes on as it is; None if `handle_message` must look at it, because it is for us or not in order."""
        links = self.links
        parent = self.parent
        if links.get(auth, parent) is link and (src == auth or links.get(src, parent) is link):
            out = links.get(dst)
            if out is None and link is not parent and dst != self.context_id:
                out = parent
            if out is not None:
                if self.unidirectional and link is not parent and out is not parent:
                    return None
                if dst not in link.egress:
                    self.note(link, dst)
                return out

    def note(self, link, dst):
        """Remembers that somebody behind the link wrote to a context, and will want to hear of its loss."""
        link.egress.add(dst)
        if len(link.egress) > MANY:
            link.egress = All()

    def handle_message(self, msg, link):
        links = self.links
        parent = self.parent
        if links.get(msg.auth_id, parent) is not link or msg.src_id != msg.auth_id and links.get(msg.src_id, parent) is not link:
            self.complain(link, 'bad auth_id or src_id: %d, %d' % (msg.auth_id, msg.src_id))
        else:
            if msg.dst_id not in link.egress and msg.dst_id != self.context_id:
                self.note(link, msg.dst_id)
            if msg.reply_to == core.IS_DEAD and link is not parent and msg.dst_id == self.context_id:
                respondent = self.handlers.get(msg.handle, (None,) * 4)[3]
                if respondent is not None and links.get(respondent, parent) is not link:
                    # Any router on the way to the respondent may say so, and our parent.
                    return self.complain(link, 'it declares dead what another is to answer')
            self.route(msg, link)

    def route(self, msg, link=None):
        parent = self.parent
        if self.unidirectional and link is not None and link is not parent and msg.dst_id != self.context_id and self.links.get(msg.dst_id, parent) is not parent:
            self.refuse(msg, 'routing mode prevents forward of message from context %d to context %d via context %d' % (msg.src_id, msg.dst_id, self.context_id))
        else:
            Leaf.route(self, msg, link)

    def complain(self, link, text):
        """Logs the first thing that is wrong with a link."""
        if not link.suspect:
            link.suspect = True
            self.log('mitogen', 40, 'context %s: %s' % (link.remote_id, text))

    def tell(self, link, handle, data, enc=core.ENC_PLAIN):
        """Sends something to the context at the far end of a link."""
        Leaf.route(self, Message(dst_id=link.remote_id, handle=handle, data=data, enc=enc))

    def peer(self, msg):
        """The link at whose far end the sender is; None if he is farther away."""
        link = self.links.get(msg.src_id, self.parent)
        if link and link.remote_id == msg.src_id:
            return link

    # Births and deaths.

    def adopt(self, link, name):
        """Takes a child in: from here on frames for it and from it are in order."""
        self.branches.append(link)
        self.settle(link.remote_id, name, link)

    def settle(self, context_id, name, link):
        link.routes.add(context_id)
        self.links[context_id] = link
        if name:
            self.context_by_id(context_id).name = name
        if self.parent:
            self.tell(self.parent, ADD_ROUTE, ('%d:%s' % (context_id, name)).encode('utf-8'))

    def abandon(self, link):
        """A child's link is lost, and all that lies behind it."""
        if link in self.branches:
            self.branches.remove(link)
            self.library.forget(link)
            self.unsettle(sorted(link.routes), link)

    def unsettle(self, ids, origin):
        """Contexts are lost; `origin` is the link that told it."""
        parent = self.parent
        for context_id in ids:
            self.links.pop(context_id, None)
        self.grants.forget_owners(ids)
        for context_id in ids:
            origin.routes.discard(context_id)
            data = str(context_id).encode()
            if parent and origin is not parent:
                self.tell(parent, DEL_ROUTE, data)
            for link in self.branches:
                if link is not origin and context_id in link.egress:
                    link.egress.discard(context_id)
                    self.tell(link, DEL_ROUTE, data)
        lose(self, ids)

    def handle_add_route(self, msg):
        link = self.peer(msg)
        if not link or link is self.parent or msg.reply_to == core.IS_DEAD:
            return
        text, name = (msg.data.decode('utf-8', 'replace') + ':').split(':', 1)
        try:
            context_id = int(text)
        except ValueError:
            context_id = 0
        # What was given to somebody behind that link, once.
        owner = self.grants.owner(context_id)
        if owner is None or self.links.get(owner) is not link or context_id in self.links or len(link.routes) >= MANY:
            self.complain(link, 'refused the route %r' % text)
        else:
            self.grants.forget_single(context_id)
            # Longer ones are refused as soon as they stand in a pickle.
            self.settle(context_id, name[:-1][:99], link)

    def handle_del_route(self, msg):
        link = self.peer(msg)
        if not link or msg.reply_to == core.IS_DEAD:
            return
        text = msg.data.decode('utf-8', 'replace')
        try:
            context_id = int(text)
        except ValueError:
            context_id = link.remote_id
        if link is self.parent:
            # It never announces what lies behind our children.
            refused = context_id in self.links or context_id in (self.context_id, link.remote_id)
        else:
            # Its own loss is seen, not told.
            refused = context_id == link.remote_id or context_id not in link.routes
        if refused:
            self.complain(link, 'refused to delete the route %r' % text)
        else:
            self.unsettle([context_id], link)

    def handle_grant(self, msg):
        """Our parent says whose ids are: FIRST:END:OWNER. All on the way to the owner hear of it before he does; that his are none any more, from owner 0."""
        link = self.peer(msg)
        if not link or link is not self.parent or msg.reply_to == core.IS_DEAD:
            return
        first, end, owner = [int(text) for text in msg.data.split(':'.encode())]
        whose = owner
        if not owner:
            whose = self.grants.forget_single(first)
        link = self.links.get(whose)
        if link:
            if owner:
                self.grants.note(first, end, owner)
            if link.remote_id != whose:
                self.tell(link, GRANT, msg.data)

    def handle_detaching(self, msg):
        """A child will live on without us, or tells that a context behind it will live on."""
        link = self.peer(msg)
        if not link or link is self.parent or msg.reply_to == core.IS_DEAD:
            return
        context_id = link.remote_id
        if msg.data:
            context_id = int(msg.data)
            if context_id == link.remote_id or context_id not in link.routes:
                return self.complain(link, 'it says that %d leaves' % context_id)
        elif link.detached:
            return
        else:
            link.detached = True
            self.route(Message.pickled(None, dst_id=msg.src_id, handle=msg.reply_to))
        if self.parent:
            self.tell(self.parent, DETACHING, str(context_id).encode())

    def orphan(self):
        """The way up is gone, and we live on: whoever waits for what lay there is told."""
        ids = set(self.parent_ids)
        for entry in list(self.handlers.values()):
            ids.add(entry[3])
        for link in self.branches:
            if not isinstance(link.egress, All):
                ids.update(link.egress)
        origin = self.parent
        self.parent = None
        self.parent_ids[:] = []
        self.trusted[:] = [self.context_id]
        ids -= set(self.links)
        ids -= set([self.context_id, None])
        self.unsettle(sorted(ids), origin)
        self.library.orphan()

    def close(self):
        """Has all children end."""
        for link in self.branches:
            self.tell(link, SHUTDOWN, core.BytesType())
