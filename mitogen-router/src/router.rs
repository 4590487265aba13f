//! One context's router: its links, its routes, its mailboxes.
//!
//! ```text
//!  handle_link_up/down ─┐                                  ┌─> Transmit, Deliver, Closed
//!  handle_message ──────┼─> admit ─> deliver or forward ───┼─> RouteAdded, RouteLost
//!  open, send, close ───┘                                  └─> Rejected
//! ```

use crate::RouterError;
use crate::admit::Admitted;
use crate::ids::Ids;
use crate::mailbox::{Mailbox, Mailboxes, Verdict};
use crate::output::{Closed, Output, Rejection};
use crate::table::Table;
use bytes::Bytes;
use mitogen_wire::body::{AddRoute, AllocateId, Dead, DelRoute};
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, Encoding, Handle, Message, ReplyTo};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many destinations of one link are remembered, to tell it when they are lost. A neighbour
/// that writes to more contexts than this is not told of all; its callers then wait for their own
/// deadlines. It bounds what a hostile neighbour can make us remember.
const EGRESS_LIMIT: usize = 1 << 16;

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
    /// The authority that everything from this link carries (a listener's clients act as the
    /// listener's context).
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
    table: Table,
    links: BTreeMap<ContextId, Link>,
    mailboxes: Mailboxes,
    /// Only the controller gives out ids.
    ids: Option<Ids>,
    unidirectional: bool,
    max_payload: usize,
    outputs: VecDeque<Output>,
}

struct Link {
    stamp: Option<ContextId>,
    /// Whom this neighbour has written to through us: it hears when they are lost.
    egress: BTreeSet<ContextId>,
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
        self.links.insert(link, Link { stamp: options.stamp, egress: BTreeSet::new() });
        self.add_route(link, link, options.name);
        Ok(())
    }

    /// A link is gone, and with it every context behind it. Unknown links are ignored, so that
    /// whoever notices first may say it.
    pub fn handle_link_down(&mut self, link: ContextId) {
        if self.links.remove(&link).is_none() {
            return;
        }
        let lost = self.table.remove_behind(link);
        self.lose(link, &lost);
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

    /// Sends a body whose answers, if any, come to a mailbox that is open already.
    pub fn send_from(&mut self, reply_to: Handle, dst: ContextId, handle: Handle, body: (Encoding, Bytes)) {
        let message =
            Message::new(self.table.own(), dst, handle).with_payload(body.0, body.1).with_reply_to(reply_to);
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

    /// An id for a context that this controller starts.
    ///
    /// # Errors
    /// [`RouterError::IdsExhausted`]; [`RouterError::NotController`] in any other context, which
    /// asks the controller with [`AllocateId`].
    pub fn allocate_id(&mut self) -> Result<ContextId, RouterError> {
        self.ids.as_mut().ok_or(RouterError::NotController)?.take()
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

    fn dispatch(&mut self, admitted: Admitted) {
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
            return self.serve(admitted);
        }
        match self.mailboxes.judge(&self.table, &admitted) {
            Verdict::Accepted { closes } => self.hand_over(admitted.into_message(), closes),
            Verdict::Unknown => self.bounce(&admitted, Dead::InvalidHandle),
            Verdict::Unexpected => self.bounce(&admitted, Dead::UnexpectedContext),
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
            if self.unidirectional && !self.is_privileged(arrival) && !self.is_privileged(out) {
                let via = self.table.own();
                return self.bounce(&admitted, Dead::RoutingMode { from: src, to: dst, via });
            }
            if let Some(link) = self.links.get_mut(&arrival)
                && link.egress.len() < EGRESS_LIMIT
            {
                link.egress.insert(dst);
            }
        }
        self.outputs.push_back(Output::Transmit { link: out, message: admitted.into_message() });
    }

    /// Tells the sender, if it wants to know, that its message got no further.
    fn bounce(&mut self, admitted: &Admitted, reason: Dead) {
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

    fn is_privileged(&self, link: ContextId) -> bool {
        let stamp = self.links.get(&link).and_then(|link| link.stamp);
        self.table.is_ancestor(link) || stamp.is_some_and(|stamp| self.table.is_parent_or_self(stamp))
    }

    fn reject_admitted(&mut self, admitted: &Admitted, why: Rejection) {
        if let Some(link) = admitted.arrival() {
            self.reject(link, admitted.message(), why);
        }
    }

    fn reject(&mut self, link: ContextId, message: &Message, why: Rejection) {
        let (src, handle) = (message.src, message.handle);
        self.outputs.push_back(Output::Rejected { link, src, handle, why });
    }

    // ---- the handles that are the router's own ----------------------------------------------

    fn serves(&self, handle: Handle) -> bool {
        match handle {
            AddRoute::HANDLE | DelRoute::HANDLE => true,
            AllocateId::HANDLE => self.ids.is_some(),
            _ => false,
        }
    }

    fn serve(&mut self, admitted: Admitted) {
        let message = admitted.message();
        let Some(link) = admitted.arrival() else {
            return; // nobody announces routes to oneself
        };
        let result = match message.handle {
            AllocateId::HANDLE => self.serve_ids(&admitted),
            _ if link != message.src => {
                self.bounce(&admitted, Dead::RefusedByPolicy);
                Err(Rejection::Forbidden)
            }
            AddRoute::HANDLE => self.serve_add_route(link, message),
            _ => self.serve_del_route(link, message),
        };
        if let Err(why) = result {
            self.reject_admitted(&admitted, why);
        }
    }

    fn serve_ids(&mut self, admitted: &Admitted) -> Result<(), Rejection> {
        AllocateId::decode(admitted.message())?;
        let block = self.ids.as_mut().and_then(|ids| ids.take_block().ok());
        match block.and_then(|block| block.encode().ok()) {
            Some(body) => self.reply(admitted.message(), body),
            None => self.bounce(admitted, Dead::Other("no context ids are left".to_owned())),
        }
        Ok(())
    }

    fn serve_add_route(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
        let AddRoute { id, name } = AddRoute::decode(message)?;
        let parent = self.table.parent();
        let taken = self.table.known(id).is_some_and(|via| Some(via) != parent);
        let never_given = self.ids.as_ref().is_some_and(|ids| !ids.given(id));
        if taken || never_given || self.table.is_parent_or_self(id) || Some(link) == parent {
            return Err(Rejection::ForeignRoute { context: id });
        }
        self.add_route(id, link, name);
        Ok(())
    }

    fn serve_del_route(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
        let DelRoute { id } = DelRoute::decode(message)?;
        let from_parent = Some(link) == self.table.parent();
        // A neighbour's own end is its link's end, not something that it says. The parent speaks
        // of contexts that have no entry here: everything unknown is behind it.
        let its_own = self.table.known(id) == Some(link) && id != link;
        let above = from_parent && self.table.known(id).is_none() && !self.table.is_parent_or_self(id);
        if !its_own && !above {
            return Err(Rejection::UnknownRoute { context: id });
        }
        self.table.remove(id);
        self.lose(link, &BTreeSet::from([id]));
        Ok(())
    }

    // ---- routes ---------------------------------------------------------------------------

    fn add_route(&mut self, id: ContextId, via: ContextId, name: Option<String>) {
        self.table.insert(id, via);
        if let Some(parent) = self.table.parent()
            && via != parent
        {
            self.send(parent, AddRoute::HANDLE, AddRoute { id, name: name.clone() }.encode());
        }
        self.outputs.push_back(Output::RouteAdded { context: id, via, name });
    }

    /// Contexts behind `via` are gone, and no longer in the table: says so upward, to every child
    /// that wrote to them, and to whoever waits for them here; never back to where it came from.
    fn lose(&mut self, via: ContextId, lost: &BTreeSet<ContextId>) {
        let parent = self.table.parent();
        for &id in lost {
            let mut hear: Vec<ContextId> = Vec::new();
            for (&link, state) in &mut self.links {
                let wrote = state.egress.remove(&id);
                if link != via && (Some(link) == parent || wrote) {
                    hear.push(link);
                }
            }
            for link in hear {
                self.send(link, DelRoute::HANDLE, DelRoute { id }.encode());
            }
            self.outputs.push_back(Output::RouteLost { context: id, via });
        }
        for (handle, context) in self.mailboxes.close_waiting_for(lost) {
            self.outputs
                .push_back(Output::Closed { handle, reason: Closed::RespondentGone { context, via } });
        }
    }
}
