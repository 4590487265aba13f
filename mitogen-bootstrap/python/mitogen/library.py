"""What passes through a context on its way to its children: modules and data files. All of it is kept, and goes by each link once.

Modules of the agent come one by one; those of users come in bundles, each the answer to one request, and travel on as they came, part by part. No descriptor is known here.
"""
import zlib
from mitogen import core, modules
from mitogen.core import GET_MODULE, LOAD_MODULE, Message, to_text
from mitogen.importer import allocate_lock
from mitogen.modules import GET_RESOURCE, LOAD_BUNDLE, LOAD_RESOURCE

FORWARD_MODULE = 108
# How many names one child may have asked for.
MANY = 65536


class Library(object):
    """The modules that passed here, and the children that wait for more."""

    def __init__(self, router, importer):
        modules.install(importer)
        self.router = router
        self.importer = importer
        self.finder = finder = importer.finder
        # name -> (payload of LOAD_MODULE, related names); names asked for; name -> links that wait.
        self.answers = {}
        self.asked = set(importer.waiting)
        self.waiting = {}
        # key of a data file -> links that wait.
        self.resources = {}
        self.lock = allocate_lock()
        importer.request = self.request
        finder.request_resource = self.request_resource

    def grow(self, add):
        """Takes the handlers that it needs."""
        add(self.handle_get_module, GET_MODULE)
        add(self.handle_load_module, LOAD_MODULE, True, True)
        add(self.handle_forward_module, FORWARD_MODULE, True, True)
        add(self.handle_bundle, LOAD_BUNDLE, True, True)
        add(self.handle_get_resource, GET_RESOURCE)
        add(self.handle_load_resource, LOAD_RESOURCE, True, True)

    def request(self, name):
        """Has our own importer get an answer; on the thread that wants it."""
        self.lock.acquire()
        try:
            if name in self.answers:
                self.answer(name)
            elif name not in self.finder.where:
                self.ask(name)
        finally:
            self.lock.release()

    def ask(self, name):
        if not self.router.parent:
            self.deny(name)
        elif name not in self.asked:
            self.asked.add(name)
            self.router.tell(self.router.parent, GET_MODULE, name.encode())

    def deny(self, name):
        """Answers that there is no such module."""
        self.answers[name] = core.dumps((to_text(name), None, None, None, ()), 2), ()
        if name in self.importer.waiting:
            self.answer(name)
        for link in self.waiting.pop(name, ()):
            self.send(name, link)

    def orphan(self):
        """Nobody will answer any more."""
        self.lock.acquire()
        try:
            partial, self.finder.partial = self.finder.partial, {}
            self.end(partial)
            self.finder.stir()
            for name in self.asked:
                if name not in self.answers and name not in self.finder.where and name not in self.importer.cache:
                    self.deny(name)
            for key in list(self.resources):
                self.deny_resource(key)
        finally:
            self.lock.release()

    def answer(self, name):
        _, children, path, data, _ = core.loads(self.answers[name][0])
        if path:
            data = zlib.decompress(data) + '\n'.encode()
            path = 'master:' + path
        self.importer.handle_answer(name, children, path, data)

    def find(self, name):
        """The answer (payload, related names) for a child; None if it must be asked for."""
        if name not in self.answers and name in self.importer.cache:
            children, path, data = self.importer.cache[name]
            if path:
                # It was unpacked when there was no child yet.
                path = to_text(path.replace('master:', '', 1))
                if not isinstance(data, core.BytesType):
                    data = data.encode()
                data = core.Blob(zlib.compress(data[:-1]))
            else:
                data = None
            self.answers[name] = core.dumps((to_text(name), children, path, data, ()), 2), ()
        return self.answers.get(name)

    def send(self, name, link):
        """Sends a module, behind those it is related to, unless it went there before. Says whether it is known."""
        bundle = self.finder.where.get(name)
        if bundle:
            if bundle not in link.modules:
                link.modules.add(bundle)
                for part in bundle.parts:
                    self.router.tell(link, LOAD_BUNDLE, part, core.ENC_PICKLE)
                if not bundle.complete:
                    bundle.links.append(link)
            return True
        found = self.find(name)
        if found and name not in link.modules:
            link.modules.add(name)
            for other in found[1]:
                self.send(str(other), link)
            self.router.tell(link, LOAD_MODULE, found[0], core.ENC_PICKLE)
        return found

    def forget(self, link):
        for links in list(self.waiting.values()) + list(self.resources.values()) + [bundle.links for bundle in self.finder.partial.values()]:
            if link in links:
                links.remove(link)

    def child(self, msg):
        """The link of a child that asks for something."""
        link = self.router.peer(msg)
        if link and link is not self.router.parent and msg.reply_to != core.IS_DEAD and len(link.modules) + len(self.waiting) + len(self.resources) < MANY:
            return link

    def handle_get_module(self, msg):
        link = self.child(msg)
        if not link:
            return
        name = str(msg.data.decode('utf-8', 'replace'))
        self.lock.acquire()
        try:
            if not self.send(name, link):
                links = self.waiting.setdefault(name, [])
                if link not in links:
                    links.append(link)
                self.ask(name)
        finally:
            self.lock.release()

    def handle_load_module(self, msg):
        fullname, _, _, _, related = msg.unpickle()
        name = str(fullname)
        self.lock.acquire()
        try:
            self.answers[name] = msg.data, related
            if name in self.importer.waiting:
                self.answer(name)
            for link in self.waiting.pop(name, ()):
                self.send(name, link)
        finally:
            self.lock.release()

    def handle_bundle(self, msg):
        if msg.is_dead:
            return
        self.lock.acquire()
        try:
            partial = self.finder.partial
            try:
                bundle, names = self.finder.collect(msg.data)
            except:
                # It cannot be read, and all was given up.
                self.end(partial)
                raise
            self.pass_on(bundle)
            for name in names:
                for link in self.waiting.pop(name, ()):
                    self.send(name, link)
        finally:
            self.lock.release()

    def pass_on(self, bundle):
        """Sends the newest part to those who had the others."""
        for link in bundle.links:
            self.router.tell(link, LOAD_BUNDLE, bundle.parts[-1], core.ENC_PICKLE)
        if bundle.complete:
            bundle.links = []

    def end(self, partial):
        """Completes bundles of which no more will come, so that nobody below waits for it."""
        for name, bundle in partial.items():
            bundle.add(core.dumps((to_text(name), True, core.Blob(zlib.compress(core.dumps([], 2))), core.Blob(zlib.compress(core.BytesType()))), 2))
            self.pass_on(bundle)

    def handle_forward_module(self, msg):
        context_id, name = msg.data.decode().split('\0', 1)
        link = self.router.links.get(int(context_id))
        if link and str(name) not in link.modules:
            self.lock.acquire()
            try:
                self.send(str(name), link)
            finally:
                self.lock.release()
            if link.remote_id != int(context_id):
                self.router.tell(link, FORWARD_MODULE, msg.data)

    # Data files.

    def request_resource(self, key):
        """Has our own importer get a data file; on the thread that wants it."""
        self.lock.acquire()
        try:
            self.ask_resource(key, None)
        finally:
            self.lock.release()

    def ask_resource(self, key, link):
        if not self.router.parent:
            self.resources.setdefault(key, []).extend(link and [link] or [])
            return self.deny_resource(key)
        fresh = key not in self.resources
        links = self.resources.setdefault(key, [])
        if link and link not in links:
            links.append(link)
        if fresh:
            msg = Message.pickled((to_text(key[0]), key[1]), handle=GET_RESOURCE, dst_id=self.router.parent.remote_id)
            self.router.route(msg)

    def deny_resource(self, key):
        """Answers that there is no such data file."""
        payload = core.dumps((to_text(key[0]), key[1]), 2) + core.dumps(None, 2)
        self.finder.keep(payload)
        for link in self.resources.pop(key, ()):
            self.send_resource(key, link)

    def handle_get_resource(self, msg):
        link = self.child(msg)
        if link:
            package, name = msg.unpickle()
            key = str(package), to_text(name)
            self.lock.acquire()
            try:
                if key in self.finder.resources:
                    self.send_resource(key, link)
                else:
                    self.ask_resource(key, link)
            finally:
                self.lock.release()

    def handle_load_resource(self, msg):
        if msg.is_dead:
            return
        self.lock.acquire()
        try:
            key = self.finder.keep(msg.data)
            for link in self.resources.pop(key, ()):
                self.send_resource(key, link)
        finally:
            self.lock.release()

    def send_resource(self, key, link):
        payload = self.finder.resources[key]
        if payload is not None:
            self.router.tell(link, LOAD_RESOURCE, payload, core.ENC_PICKLE)
