//! One context's router: its links, its routes, its mailboxes.
//!
//! ```text
//!  handle_link_up/down ─┐                                  ┌─> Transmit, Deliver, Closed
//!  handle_message ──────┼─> admit ─> deliver or forward ───┼─> RouteAdded, RouteLost
//!  open, send, close ───┘                                  └─> Rejected
//! ```

use crate::RouterError;
use crate::admit::Admitted;
use crate::egress::Egress;
use crate::ids::{Grants, Ids};
use crate::mailbox::{Mailbox, Mailboxes, Verdict};
use crate::output::{Closed, Output, Rejection};
use crate::table::Table;
use bytes::Bytes;
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, Encoding, Handle, Message, ReplyTo};
use std::collections::{BTreeMap, VecDeque};

/// Who this context is, and what it permits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// This context.
    pub id: ContextId,
    /// Its ancestors, nearest first, the controller last; empty in the controller.
    pub parents: Vec<ContextId>,
    /// Whether messages pass only between a context and its ancestors.
    pub unidirectional: bool,
    /// The largest payload that is passed on, in bytes.
    pub max_payload: usize,
}

impl Config {
    /// The root of a tree.
    pub fn controller() -> Config {
        Config::child(ContextId::CONTROLLER, Vec::new())
    }

    /// A context with these ancestors, nearest first.
    pub fn child(id: ContextId, parents: Vec<ContextId>) -> Config {
        Config { id, parents, unidirectional: false, max_payload: DEFAULT_MAX_PAYLOAD }
    }
}

/// What there is to say about a new link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkOptions {
    /// What the neighbour is called; announced with it.
    pub name: Option<String>,
    /// The authority that everything carries which the neighbour itself sends (a listener's clients
    /// act as the listener's context).
    pub stamp: Option<ContextId>,
}

impl LinkOptions {
    /// A link to a neighbour of this name.
    pub fn named(name: impl Into<String>) -> LinkOptions {
        LinkOptions { name: Some(name.into()), stamp: None }
    }
}

/// The router of one context. Pure: it is told what happened and asked what to do about it.
pub struct Router {
    pub(crate) table: Table,
    pub(crate) links: BTreeMap<ContextId, Link>,
    pub(crate) mailboxes: Mailboxes,
    /// Only the controller gives out ids.
    pub(crate) ids: Option<Ids>,
    pub(crate) grants: Grants,
    unidirectional: bool,
    max_payload: usize,
    pub(crate) outputs: VecDeque<Output>,
}

pub(crate) struct Link {
    stamp: Option<ContextId>,
    /// Whom this neighbour has written to through us: it hears when they are lost.
    pub(crate) egress: Egress,
    /// How many routes lead through it, its own included.
    pub(crate) routes: usize,
    /// How many blocks of ids were asked for through it.
    pub(crate) blocks: u32,
    /// How many contexts were told to start which have not come.
    pub(crate) births: usize,
    /// It has said that it will live on without us.
    pub(crate) detached: bool,
}

impl Link {
    fn new(stamp: Option<ContextId>) -> Link {
        Link { stamp, egress: Egress::new(), routes: 0, blocks: 0, births: 0, detached: false }
    }
}

impl Router {
    /// A router without links.
    pub fn new(config: Config) -> Router {
        let ids = config.parents.is_empty().then(Ids::new);
        Router {
            table: Table::new(config.id, config.parents),
            links: BTreeMap::new(),
            mailboxes: Mailboxes::new(),
            ids,
            grants: Grants::default(),
            unidirectional: config.unidirectional,
            max_payload: config.max_payload,
            outputs: VecDeque::new(),
        }
    }

    // ---- what the world tells -------------------------------------------------------------

    /// A neighbour is connected. Unless it is the parent it is announced upward.
    ///
    /// # Errors
    /// [`RouterError::LinkExists`] when there is a route to that context already.
    pub fn handle_link_up(&mut self, link: ContextId, options: LinkOptions) -> Result<(), RouterError> {
        if self.table.known(link).is_some() || link == self.table.own() {
            return Err(RouterError::LinkExists { link });
        }
        self.links.insert(link, Link::new(options.stamp));
        self.add_route(link, link, options.name);
        Ok(())
    }

    /// A link is gone, and with it every context behind it. Unknown links are ignored, so that
    /// whoever notices first may say it. Without its parent a context is the root of what is below
    /// it: it neither gets ids nor gives them.
    pub fn handle_link_down(&mut self, link: ContextId) {
        if self.links.remove(&link).is_none() {
            return;
        }
        let lost = self.table.remove_behind(link);
        if Some(link) == self.table.parent() {
            self.lose_parent(link);
        } else {
            self.lose(link, &lost);
        }
    }

    /// A message came by a link.
    pub fn handle_message(&mut self, link: ContextId, message: Message) {
        let Some(state) = self.links.get(&link) else {
            self.reject(link, &message, Rejection::UnknownLink);
            return;
        };
        match Admitted::check(&self.table, link, state.stamp, message) {
            Ok(admitted) => self.dispatch(admitted),
            Err((message, why)) => self.reject(link, &message, why),
        }
    }

    // ---- what our user asks ---------------------------------------------------------------

    /// Opens a mailbox at a handle of its own.
    pub fn open(&mut self, mailbox: Mailbox) -> Handle {
        self.mailboxes.open(mailbox)
    }

    /// Opens a mailbox at a well-known handle.
    ///
    /// # Errors
    /// [`RouterError::HandleTaken`]: somebody listens there, or the router itself does.
    pub fn open_at(&mut self, handle: Handle, mailbox: Mailbox) -> Result<(), RouterError> {
        if self.serves(handle) {
            return Err(RouterError::HandleTaken { handle });
        }
        self.mailboxes.open_at(handle, mailbox)
    }

    /// Closes a mailbox; nothing is delivered to it any more. Says whether it was open.
    pub fn close(&mut self, handle: Handle) -> bool {
        self.mailboxes.close(handle)
    }

    /// Closes every mailbox; each gets its [`Output::Closed`].
    pub fn close_all(&mut self) {
        for handle in self.mailboxes.close_all() {
            self.outputs.push_back(Output::Closed { handle, reason: Closed::RouterClosed });
        }
    }

    /// Sends a body from this context, on its own authority.
    pub fn send(&mut self, dst: ContextId, handle: Handle, body: (Encoding, Bytes)) {
        let message = Message::new(self.table.own(), dst, handle).with_payload(body.0, body.1);
        self.originate(message);
    }

    /// Sends a body from this context, and says where something may be answered: at a mailbox that is open.
    pub fn send_with_reply(
        &mut self,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
        reply: Handle,
    ) {
        let message =
            Message::new(self.table.own(), dst, handle).with_payload(body.0, body.1).with_reply_to(reply);
        self.originate(message);
    }

    /// Tells whoever listens at a handle that no (further) message will come from here.
    pub fn send_dead(&mut self, dst: ContextId, handle: Handle, reason: &Dead) {
        let message = reason.to_message(self.table.own(), dst, handle);
        self.originate(message);
    }

    /// Sends a body and opens the mailbox for its answer, which is closed if the answer cannot
    /// come any more.
    pub fn request(&mut self, dst: ContextId, handle: Handle, body: (Encoding, Bytes)) -> Handle {
        let reply = self.mailboxes.open(Mailbox::reply_from(dst));
        let message =
            Message::new(self.table.own(), dst, handle).with_payload(body.0, body.1).with_reply_to(reply);
        self.originate(message);
        reply
    }

    /// Answers a message that asked for it; does nothing for others.
    pub fn reply(&mut self, to: &Message, body: (Encoding, Bytes)) {
        if let ReplyTo::Handle(handle) = to.reply_to {
            self.send(to.src, handle, body);
        }
    }

    /// Opens a mailbox for the credit that the receiver in a context gives (see
    /// [`credit`](crate::credit)); it is closed when that context is lost.
    pub fn open_credit(&mut self, receiver: ContextId) -> Handle {
        self.mailboxes.open_credit(receiver)
    }

    // ---- what we answer -------------------------------------------------------------------

    /// The next thing to do, in order. Drain it after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    // ---- nouns ----------------------------------------------------------------------------

    /// This context.
    pub fn id(&self) -> ContextId {
        self.table.own()
    }

    /// The neighbour that leads to a context: for the controller the known one, elsewhere the
    /// parent for every context that is not known.
    pub fn route(&self, dst: ContextId) -> Option<ContextId> {
        self.table.towards(dst)
    }

    /// All known routes, as destination and neighbour.
    pub fn routes(&self) -> impl Iterator<Item = (ContextId, ContextId)> + '_ {
        self.table.iter()
    }

    /// How many mailboxes are open.
    pub fn open_mailboxes(&self) -> usize {
        self.mailboxes.len()
    }

    // ---- messages -------------------------------------------------------------------------

    fn originate(&mut self, message: Message) {
        let admitted = Admitted::own(&self.table, message);
        self.dispatch(admitted);
    }

    fn dispatch(&mut self, mut admitted: Admitted) {
        if admitted.arrival().is_none() && admitted.message().is_dead() {
            // Whatever the limit is, what it did is told, in so many words as it allows.
            admitted.cut_payload(self.max_payload);
        }
        if admitted.message().payload.len() > self.max_payload {
            self.return_oversize(admitted);
        } else if admitted.message().dst == self.table.own() {
            self.deliver(admitted);
        } else {
            self.forward(admitted);
        }
    }

    fn deliver(&mut self, admitted: Admitted) {
        if self.serves(admitted.message().handle) {
            return self.serve(&admitted);
        }
        match self.mailboxes.judge(&self.table, &admitted) {
            Verdict::Accepted { closes } => self.hand_over(admitted.into_message(), closes),
            Verdict::Unknown => self.bounce(&admitted, Dead::InvalidHandle),
            Verdict::Unexpected => {
                self.bounce(&admitted, Dead::UnexpectedContext);
                self.reject_admitted(&admitted, Rejection::NotAwaited);
            }
            Verdict::Forbidden => {
                self.bounce(&admitted, Dead::RefusedByPolicy);
                self.reject_admitted(&admitted, Rejection::Forbidden);
            }
            Verdict::ForeignDead => self.reject_admitted(&admitted, Rejection::ForeignDead),
        }
    }

    fn hand_over(&mut self, message: Message, closes: bool) {
        let handle = message.handle;
        let last_words = if closes { Dead::from_message(&message) } else { None };
        self.outputs.push_back(match last_words {
            Some(reason) => Output::Closed { handle, reason: Closed::Dead { from: message.src, reason } },
            None => Output::Deliver { handle, message },
        });
    }

    fn forward(&mut self, admitted: Admitted) {
        let (src, dst) = (admitted.message().src, admitted.message().dst);
        let arrival = admitted.arrival();
        // What the parent sends for an unknown context must not go back to it.
        let from_parent = arrival.is_some() && arrival == self.table.parent();
        let out = if from_parent { self.table.known(dst) } else { self.table.towards(dst) };
        let Some(out) = out.filter(|out| self.links.contains_key(out)) else {
            return self.bounce(&admitted, Dead::NoRoute { to: dst, at: self.table.own() });
        };
        if let Some(arrival) = arrival {
            if self.unidirectional && !self.is_privileged(arrival, src) && !self.is_privileged(out, dst) {
                let via = self.table.own();
                return self.bounce(&admitted, Dead::RoutingMode { from: src, to: dst, via });
            }
            if let Some(link) = self.links.get_mut(&arrival) {
                link.egress.insert(dst);
            }
        }
        self.outputs.push_back(Output::Transmit { link: out, message: admitted.into_message() });
    }

    /// Tells the sender, if it wants to know, that its message got no further.
    pub(crate) fn bounce(&mut self, admitted: &Admitted, reason: Dead) {
        let message = admitted.message();
        if let ReplyTo::Handle(handle) = message.reply_to {
            self.originate(reason.to_message(self.table.own(), message.src, handle));
        }
    }

    fn return_oversize(&mut self, admitted: Admitted) {
        let message = admitted.message();
        let reason = Dead::TooLarge { limit: self.max_payload as u64 };
        match message.reply_to {
            ReplyTo::Handle(_) => self.bounce(&admitted, reason),
            // An answer that cannot travel: its receiver must not wait for ever. Well-known handles
            // are left out: there our word would carry more weight than its author's.
            ReplyTo::Nobody if message.handle >= Handle::FIRST_DYNAMIC => {
                self.originate(reason.to_message(self.table.own(), message.dst, message.handle));
            }
            ReplyTo::Nobody => self.reject_admitted(&admitted, Rejection::TooLarge),
            ReplyTo::Dead => {}
        }
    }

    /// Whether whoever is at that end of a link is above this context, or acts for it.
    fn is_privileged(&self, link: ContextId, end: ContextId) -> bool {
        let stamp = self.links.get(&link).filter(|_| end == link).and_then(|link| link.stamp);
        self.table.is_ancestor(link) || stamp.is_some_and(|stamp| self.table.is_parent_or_self(stamp))
    }

    fn reject_admitted(&mut self, admitted: &Admitted, why: Rejection) {
        if let Some(link) = admitted.arrival() {
            self.reject(link, admitted.message(), why);
        }
    }

    pub(crate) fn reject(&mut self, link: ContextId, message: &Message, why: Rejection) {
        let (src, handle) = (message.src, message.handle);
        self.outputs.push_back(Output::Rejected { link, src, handle, why });
    }
}
