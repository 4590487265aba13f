//! Contexts, the links between them, and what is on its way. Usually one tree; contexts that detach
//! are roots of trees of their own.

use bytes::Bytes;
use mitogen_router::{Access, Config, LinkOptions, Mailbox, Output, Router};
use mitogen_wire::body::{AddRoute, AllocateId, Grant, IdBlock};
use mitogen_wire::{ContextId, Encoding, Handle, Message, ReplyTo};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where every context answers.
const ECHO: Handle = Handle(900);
/// Where every context is told to start another, by its id.
const PLAN: Handle = Handle(901);

pub(crate) struct World {
    rng: u64,
    contexts: BTreeMap<ContextId, Context>,
    /// Messages under way, by sender and receiver; each pair is first in, first out.
    wires: BTreeMap<(ContextId, ContextId), VecDeque<Message>>,
    /// The wire of each message under way, in no order; wires that were cut may still be named.
    busy: Vec<(ContextId, ContextId)>,
    unidirectional: bool,
    /// Every request made, and how often it has ended.
    requests: BTreeMap<(ContextId, Handle), usize>,
    /// Of a forged message in flight: who really wrote it, by the mark in its payload.
    forgers: BTreeMap<u32, ContextId>,
    /// Who started each context that ever lived, for ancestry.
    parents: BTreeMap<ContextId, ContextId>,
    /// Questions for ids under way, and the ids that contexts have got.
    asking: BTreeSet<(ContextId, Handle)>,
    ids: BTreeMap<ContextId, Vec<ContextId>>,
    /// The contexts whose announcement has come to the root of their tree. Nobody knows of others: the
    /// report of a birth comes behind the announcement.
    known: BTreeSet<ContextId>,
    watch: Option<ContextId>,
    seen: Vec<Message>,
}

struct Context {
    router: Router,
    /// The root of a tree has none: the controller, and who has detached.
    parent: Option<ContextId>,
}

fn open_mailboxes(router: &mut Router) {
    router.open_at(ECHO, Mailbox::open_to(Access::Anyone)).expect("a fresh router");
    router.open_at(PLAN, Mailbox::open_to(Access::FromParentsOrSelf)).expect("a fresh router");
}

impl World {
    pub(crate) fn new(seed: u64, unidirectional: bool) -> World {
        let mut config = Config::controller();
        config.unidirectional = unidirectional;
        let mut router = Router::new(config);
        open_mailboxes(&mut router);
        World {
            rng: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            contexts: BTreeMap::from([(ContextId::CONTROLLER, Context { router, parent: None })]),
            wires: BTreeMap::new(),
            busy: Vec::new(),
            unidirectional,
            requests: BTreeMap::new(),
            forgers: BTreeMap::new(),
            parents: BTreeMap::new(),
            asking: BTreeSet::new(),
            ids: BTreeMap::new(),
            known: BTreeSet::from([ContextId::CONTROLLER]),
            watch: None,
            seen: Vec::new(),
        }
    }

    /// xorshift64: below `limit`.
    pub(crate) fn random(&mut self, limit: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 11) % limit
    }

    // ---- the tree -------------------------------------------------------------------------

    /// Starts a context, and carries until it is there.
    pub(crate) fn connect(&mut self, parent: ContextId) -> ContextId {
        let id = self.begin(parent);
        self.settle();
        assert!(self.contexts.contains_key(&id), "{parent} is told to start {id}");
        id
    }

    /// Has a context started: by the controller itself, with an id that `parent` has got, or by a plan
    /// that travels behind the grant of its id.
    fn begin(&mut self, parent: ContextId) -> ContextId {
        if let Some(id) = self.ids.get_mut(&parent).and_then(Vec::pop) {
            self.bear(parent, id);
            return id;
        }
        let controller = self.router(ContextId::CONTROLLER);
        if parent == ContextId::CONTROLLER {
            let id = controller.allocate_id().expect("ids are left");
            self.bear(parent, id);
            return id;
        }
        let id = controller.allocate_id_for(parent).expect("ids are left");
        controller.send(parent, PLAN, (Encoding::Implied, Bytes::from(id.to_string())));
        self.drain(ContextId::CONTROLLER);
        id
    }

    fn bear(&mut self, parent: ContextId, id: ContextId) {
        let mut ancestors = vec![parent];
        while let Some(next) = self.contexts[ancestors.last().expect("never empty")].parent {
            ancestors.push(next);
        }
        let mut config = Config::child(id, ancestors);
        config.unidirectional = self.unidirectional;
        let mut router = Router::new(config);
        open_mailboxes(&mut router);
        router.handle_link_up(parent, LinkOptions::default()).expect("a fresh router");
        self.contexts.insert(id, Context { router, parent: Some(parent) });
        self.parents.insert(id, parent);
        self.router(parent)
            .handle_link_up(id, LinkOptions::named(format!("context {id}")))
            .expect("a fresh id");
        self.drain(parent);
        self.drain(id);
    }

    /// A context dies, and its subtree with it (each loses its parent).
    pub(crate) fn disconnect(&mut self, id: ContextId) {
        let gone: BTreeSet<_> = self.contexts.keys().copied().filter(|&c| self.is_below(c, id)).collect();
        let parent = self.contexts[&id].parent;
        self.contexts.retain(|id, _| !gone.contains(id));
        self.wires.retain(|(from, to), _| !gone.contains(from) && !gone.contains(to));
        self.requests.retain(|(from, _), _| !gone.contains(from));
        if let Some(parent) = parent {
            self.router(parent).handle_link_down(id);
            self.drain(parent);
        }
    }

    /// A context closes the link to its parent, and lives on with its subtree.
    pub(crate) fn detach(&mut self, id: ContextId) {
        let Some(parent) = self.contexts[&id].parent else { return };
        self.wires.remove(&(id, parent));
        self.wires.remove(&(parent, id));
        self.contexts.get_mut(&id).expect("a living context").parent = None;
        let below: Vec<_> = self.contexts[&id].router.routes().map(|(below, _)| below).collect();
        self.known.extend(below);
        for (at, other) in [(parent, id), (id, parent)] {
            self.router(at).handle_link_down(other);
            self.drain(at);
        }
    }

    pub(crate) fn connect_somewhere(&mut self) {
        let parent = self.any_context();
        // Who has detached knows nobody that could number its children.
        let told = self.root(parent) == ContextId::CONTROLLER && self.known.contains(&parent);
        if self.contexts.len() < 24 && (told || self.ids.get(&parent).is_some_and(|ids| !ids.is_empty())) {
            self.begin(parent);
        }
    }

    pub(crate) fn detach_somebody(&mut self) {
        let id = self.any_context();
        self.detach(id);
    }

    /// Some context asks for ids, to start others on its own account.
    pub(crate) fn ask_for_ids(&mut self) {
        let from = self.any_context();
        let handle =
            self.router(from).request(ContextId::CONTROLLER, AllocateId::HANDLE, AllocateId.encode());
        if from != ContextId::CONTROLLER {
            self.asking.insert((from, handle));
        }
        assert!(self.requests.insert((from, handle), 0).is_none(), "handles are not reused");
        self.drain(from);
    }

    pub(crate) fn disconnect_somebody(&mut self) {
        let id = self.any_context();
        if id != ContextId::CONTROLLER {
            self.disconnect(id);
        }
    }

    // ---- traffic --------------------------------------------------------------------------

    pub(crate) fn request(&mut self, from: ContextId, to: ContextId) {
        let handle = self.router(from).request(to, ECHO, (Encoding::Pickle, Bytes::from_static(b"ping")));
        assert!(self.requests.insert((from, handle), 0).is_none(), "handles are not reused");
        self.drain(from);
    }

    pub(crate) fn request_somewhere(&mut self) {
        let from = self.any_context();
        // Sometimes to somebody who is gone.
        let gone = self.random(8) == 0;
        let some: Vec<_> =
            self.known.iter().copied().filter(|id| gone || self.contexts.contains_key(id)).collect();
        let to = some[self.random(some.len() as u64) as usize];
        self.request(from, to);
    }

    /// Some context writes a raw frame to a neighbour, with whatever it likes in the header.
    pub(crate) fn forge(&mut self) {
        let forger = self.any_context();
        let Some(parent) = self.contexts[&forger].parent else { return };
        let mark = self.forgers.len() as u32;
        let mut message = Message::new(self.any_id(), self.any_id(), ECHO);
        message.auth = self.any_id();
        message.handle = match self.random(4) {
            0 => ECHO,
            1 => Handle(1000 + self.random(20) as u32),
            2 => [Handle::ADD_ROUTE, Handle::DEL_ROUTE, Handle::DETACHING, Grant::HANDLE]
                [self.random(4) as usize],
            _ => Handle(100 + self.random(15) as u32),
        };
        message.reply_to = match self.random(3) {
            0 => ReplyTo::Nobody,
            1 => ReplyTo::Dead,
            _ => ReplyTo::Handle(Handle(5_000_000)),
        };
        // A context's own end cannot be forged against itself: it may say what it likes of itself
        // and its subtree, which would only make this test's book-keeping wrong.
        let route_business = matches!(
            message.handle,
            Handle::ADD_ROUTE | Handle::DEL_ROUTE | Handle::DETACHING | Grant::HANDLE
        );
        let itself = self.is_within(message.src, forger) && self.is_within(message.auth, forger);
        if itself && (route_business || message.is_dead() || message.handle >= Handle::FIRST_DYNAMIC) {
            return;
        }
        message.payload = if message.handle == Grant::HANDLE {
            let (first, owner) = (self.any_id(), self.any_id());
            Grant { first, end: ContextId(first.0 + 3), owner }.encode().1
        } else if route_business {
            Bytes::from(self.any_id().to_string())
        } else {
            Bytes::from(format!("forged {mark}"))
        };
        self.forgers.insert(mark, forger);
        self.put((forger, parent), message);
    }

    /// A context announces, withdraws or grants, in its own name, what is not its own.
    pub(crate) fn claim(&mut self) {
        let (liar, id) = (self.any_context(), self.any_id());
        let mine = self.ids.get(&liar).is_some_and(|ids| ids.contains(&id));
        let Some(parent) = self.contexts[&liar].parent else { return };
        if mine || self.is_within(id, liar) {
            return;
        }
        // An id that nobody has used yet could still become this one's descendant's: it is given to
        // others only as long as nobody below here asks for more.
        let unused = !self.parents.contains_key(&id) && id != ContextId::CONTROLLER;
        let held = self.ids.iter().any(|(&owner, ids)| ids.contains(&id) && !self.is_within(owner, liar));
        if unused && !held {
            return;
        }
        let message =
            match self.random(3) {
                0 => Message::new(liar, parent, Grant::HANDLE)
                    .with_body(Grant { first: id, end: ContextId(id.0 + 1), owner: liar }.encode()),
                1 => Message::new(liar, parent, Handle::ADD_ROUTE)
                    .with_body(AddRoute { id, name: None }.encode()),
                _ => Message::new(liar, parent, Handle::DEL_ROUTE)
                    .with_body(AddRoute { id, name: None }.encode()),
            };
        self.put((liar, parent), message);
    }

    fn put(&mut self, wire: (ContextId, ContextId), message: Message) {
        self.busy.push(wire);
        self.wires.entry(wire).or_default().push_back(message);
    }

    /// Carries the first message of some wire.
    pub(crate) fn carry_one(&mut self) {
        if self.busy.is_empty() {
            return;
        }
        let pick = self.random(self.busy.len() as u64) as usize;
        let (from, to) = self.busy.swap_remove(pick);
        let Some(message) = self.wires.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return };
        if self.watch == Some(to) {
            self.seen.push(message.clone());
        }
        self.router(to).handle_message(from, message);
        self.drain(to);
    }

    /// Carries until nothing is under way.
    pub(crate) fn settle(&mut self) {
        while !self.busy.is_empty() {
            self.carry_one();
        }
    }

    pub(crate) fn watch_messages_to(&mut self, id: ContextId) {
        self.watch = Some(id);
        self.seen.clear();
    }

    pub(crate) fn watched(&self) -> Vec<Message> {
        self.seen.clone()
    }

    // ---- what must hold -------------------------------------------------------------------

    pub(crate) fn check_every_request_ended_once(&self) {
        for (request, &ends) in &self.requests {
            assert_eq!(ends, 1, "request {request:?} ended {ends} times");
        }
        for (id, context) in &self.contexts {
            assert_eq!(context.router.open_mailboxes(), 2, "context {id} holds mailboxes that nobody needs");
        }
    }

    /// Every context knows exactly its parent and its descendants, by the right neighbour.
    pub(crate) fn check_tables(&self) {
        for (&id, context) in &self.contexts {
            let mut expected = BTreeMap::new();
            expected.extend(context.parent.map(|parent| (parent, parent)));
            for &other in self.contexts.keys().filter(|&&c| c != id && self.is_below(c, id)) {
                let mut via = other;
                while self.contexts[&via].parent != Some(id) {
                    via = self.contexts[&via].parent.expect("it is below");
                }
                expected.insert(other, via);
            }
            let found: BTreeMap<_, _> = context.router.routes().collect();
            assert_eq!(found, expected, "table of context {id}");
        }
    }

    // ---- private --------------------------------------------------------------------------

    fn router(&mut self, id: ContextId) -> &mut Router {
        &mut self.contexts.get_mut(&id).expect("a living context").router
    }

    fn any_context(&mut self) -> ContextId {
        let pick = self.random(self.contexts.len() as u64) as usize;
        *self.contexts.keys().nth(pick).expect("below the count")
    }

    fn any_id(&mut self) -> ContextId {
        ContextId(self.random(30) as u32)
    }

    /// Whether `id` is `top`, or lies below it now.
    fn is_below(&self, mut id: ContextId, top: ContextId) -> bool {
        while id != top {
            match self.contexts.get(&id).and_then(|context| context.parent) {
                Some(parent) => id = parent,
                None => return false,
            }
        }
        true
    }

    fn root(&self, mut id: ContextId) -> ContextId {
        while let Some(parent) = self.contexts[&id].parent {
            id = parent;
        }
        id
    }

    /// Whether `id` is `top`, or was started by it or by its descendants.
    fn is_within(&self, mut id: ContextId, top: ContextId) -> bool {
        while id != top {
            match self.parents.get(&id) {
                Some(&parent) => id = parent,
                None => return false,
            }
        }
        true
    }

    fn drain(&mut self, id: ContextId) {
        while let Some(output) = self.router(id).poll_output() {
            match output {
                Output::Transmit { link, message } => {
                    assert!(self.contexts[&id].parent == Some(link) || self.parents.get(&link) == Some(&id));
                    self.put((id, link), message);
                }
                Output::Deliver { handle: ECHO, message } => {
                    self.check_author(&message);
                    if self.unidirectional {
                        let line = self.is_within(id, message.src) || self.is_within(message.src, id);
                        assert!(line, "{message:?} reached {id}, which is no relative in line");
                    }
                    if message.payload == "ping" {
                        self.router(id).reply(&message, (Encoding::Pickle, Bytes::from_static(b"pong")));
                    }
                }
                Output::Deliver { handle: PLAN, message } => {
                    let new = std::str::from_utf8(&message.payload).expect("our payloads are text");
                    self.bear(id, ContextId(new.parse().expect("an id")));
                }
                Output::Deliver { handle, message } if self.asking.contains(&(id, handle)) => {
                    let block = IdBlock::decode(&message).expect("a block");
                    let some = (block.first.0..block.end.0).take(5).map(ContextId);
                    self.ids.entry(id).or_default().extend(some);
                    *self.requests.get_mut(&(id, handle)).expect("a request that was made") += 1;
                }
                Output::Deliver { handle, message } => {
                    assert_eq!(message.payload, "pong", "only true answers are delivered");
                    *self.requests.get_mut(&(id, handle)).expect("a request that was made") += 1;
                }
                Output::RouteAdded { context, .. } if self.contexts[&id].parent.is_none() => {
                    self.known.insert(context);
                }
                Output::Closed { handle, .. } => {
                    *self.requests.get_mut(&(id, handle)).expect("a request that was made") += 1;
                }
                _ => {}
            }
        }
    }

    /// Whoever wrote a message, it can only have claimed to be somebody within its own subtree.
    fn check_author(&self, message: &Message) {
        let text = std::str::from_utf8(&message.payload).expect("our payloads are text");
        if let Some(mark) = text.strip_prefix("forged ") {
            let forger = self.forgers[&mark.parse().expect("a number")];
            assert!(self.is_within(message.src, forger), "{message:?} was written by {forger}");
            assert!(self.is_within(message.auth, forger), "{message:?} was written by {forger}");
        }
    }
}
