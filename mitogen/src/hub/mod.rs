//! What lies behind the router's lock: the machine, and what the facade keeps beside it.
//!
//! Nothing here waits, wakes, logs or encodes. An input changes the machine; [`Hub::drain`] carries
//! its outputs out as far as that is possible under the lock, and notes the rest as [`Effect`]s.
//!
//! ```text
//!  Links      neighbour -> wire, and how to end its task
//!  Contexts   id -> what is known of a connected context; those that others are about to start
//!  Waiters    handle -> who waits there
//! ```

mod contexts;
mod links;
mod waiters;

use crate::credit::Account;
use crate::effect::Effect;
use crate::error::{ContextLabel, Error, LostReason};
use crate::events::Event;
use crate::info::ContextInfo;
use crate::link::{Stop, Wire};
use crate::modules::{self, Ask};
use crate::plans;
use crate::protocol_log;
use crate::stats::LinkStats;
use bytes::Bytes;
use contexts::{Contexts, Known};
use links::Links;
use mitogen_router::{Access, Closed, Config, LinkOptions, Mailbox, Output};
use mitogen_wire::body::{ForwardLog, GetModule, GetResource, LoadModule, Shutdown};
use mitogen_wire::{ContextId, Encoding, Handle, Message};
use std::sync::Arc;
use tokio::sync::oneshot;

use waiters::Waiters;
pub(crate) use waiters::{Reply, Waiter};

/// Where a context is told that nobody wants what it is to start. A private handle: only our own agent
/// listens there.
const CANCEL_PLAN: Handle = Handle(203);

/// How many bytes may wait for a program on a listener before log records pass it by.
const LOGS_WAITING: usize = 1 << 20;

/// One router's state. Only ever touched under its lock.
pub(crate) struct Hub {
    machine: mitogen_router::Router,
    links: Links,
    contexts: Contexts,
    /// Invariant: each handle with a waiter is open in the machine.
    waiters: Waiters,
    closed: bool,
}

impl Hub {
    pub(crate) fn new(config: Config) -> Hub {
        let mut machine = mitogen_router::Router::new(config);
        for handle in [ForwardLog::HANDLE, GetModule::HANDLE, GetResource::HANDLE, plans::HANDLE] {
            machine
                .open_at(handle, Mailbox::open_to(Access::Anyone))
                .expect("a fresh machine has these handles free");
        }
        Hub {
            machine,
            links: Links::default(),
            contexts: Contexts::default(),
            waiters: Waiters::default(),
            closed: false,
        }
    }

    // ---- contexts and links ---------------------------------------------------------------

    /// An id for a context about to be started: by `owner`, or by this program.
    pub(crate) fn allocate_id(&mut self, owner: Option<ContextId>) -> Result<ContextId, Error> {
        self.check_open()?;
        let id = match owner {
            Some(owner) => self.machine.allocate_id_for(owner),
            None => self.machine.allocate_id(),
        };
        id.map_err(|error| Error::Local {
            what: "number another context",
            source: std::io::Error::other(error),
        })
    }

    /// The attempt to start a context has come to nothing.
    pub(crate) fn release_id(&mut self, id: ContextId) {
        self.machine.release_id(id);
    }

    /// Takes a connected context in. When the router was closed meanwhile it is refused.
    pub(crate) fn adopt(
        &mut self,
        info: &Arc<ContextInfo>,
        wire: Wire,
        stop: oneshot::Sender<Stop>,
        signed: bool,
    ) -> Result<(), Error> {
        self.check_open()?;
        self.links.insert(info.id, wire, stop, signed);
        self.contexts.insert(Arc::clone(info));
        self.machine
            .handle_link_up(info.id, LinkOptions::named(&*info.name))
            .expect("a fresh id has no route yet");
        Ok(())
    }

    /// Takes in a program that has come to a listener: what it says has our own authority.
    pub(crate) fn adopt_client(
        &mut self,
        info: &Arc<ContextInfo>,
        wire: Wire,
        stop: oneshot::Sender<Stop>,
        logs: bool,
    ) -> Result<(), Error> {
        self.check_open()?;
        self.links.insert(info.id, wire, stop, false);
        self.contexts.insert_client(Arc::clone(info), logs);
        let mut options = LinkOptions::named(&*info.name);
        options.stamp = Some(self.machine.id());
        self.machine.handle_link_up(info.id, options).expect("a fresh id has no route yet");
        Ok(())
    }

    /// A context will be started by another one; at most `limit` at a time by the same.
    pub(crate) fn expect(&mut self, info: Arc<ContextInfo>, limit: usize) -> Result<(), Error> {
        self.check_open()?;
        if self.contexts.expect(info, limit) { Ok(()) } else { Err(Error::Closed) }
    }

    /// What has been found out of a context that another one has started; says whether it is there.
    pub(crate) fn learn(&mut self, info: Arc<ContextInfo>) -> bool {
        let there = self.contexts.get(info.id).is_some();
        if there {
            self.contexts.insert(info);
        }
        there
    }

    /// An attempt of another context's has come to its end: if the new one was born it is known by now.
    pub(crate) fn finish_attempt(&mut self, id: ContextId) {
        if self.contexts.forget_expected(id) {
            self.machine.release_id(id);
        }
    }

    /// Nobody wants this context any more: it is shut down, now or as soon as it is born. `reply` is
    /// where the attempt's answer comes. Returns where it is told whether the attempt was ended, if that
    /// was asked for.
    pub(crate) fn abandon(&mut self, id: ContextId, reply: Handle) -> Option<oneshot::Receiver<Reply>> {
        if self.contexts.get(id).is_some() {
            self.shut_down(id);
            self.forget(reply);
            return None;
        }
        let told = self.cancel(id);
        if told.is_some() && !self.waiters.abandon(reply, id) {
            self.finish_attempt(id);
        }
        told
    }

    /// Has whoever is to start a context end the attempt, as long as it is under way.
    pub(crate) fn cancel(&mut self, id: ContextId) -> Option<oneshot::Receiver<Reply>> {
        let via = self.contexts.give_up(id)?;
        let (sender, receiver) = oneshot::channel();
        let body = (Encoding::Implied, Bytes::from(id.0.to_string()));
        self.request(via, CANCEL_PLAN, body, sender);
        Some(receiver)
    }

    /// Asks a context to end, once; unless it has detached.
    pub(crate) fn shut_down(&mut self, id: ContextId) {
        if self.contexts.get(id).is_some_and(|info| !info.is_detached() && info.begin_shutdown()) {
            self.machine.send(id, Shutdown::HANDLE, Shutdown.encode());
        }
    }

    /// Ends a link's task.
    pub(crate) fn stop(&mut self, link: ContextId, stop: Stop) {
        self.links.stop(link, stop);
    }

    pub(crate) fn handle_message(&mut self, link: ContextId, message: Message) {
        self.links.note_received(link, &message);
        self.machine.handle_message(link, message);
    }

    pub(crate) fn handle_link_down(&mut self, link: ContextId) {
        self.machine.handle_link_down(link);
        self.links.remove(link);
    }

    /// Takes no more requests.
    pub(crate) fn refuse_more(&mut self) {
        self.closed = true;
    }

    /// Fails all that waits, and ends every link's task.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.machine.close_all();
        self.links.stop_all(|| Stop::RouterClosed);
    }

    /// What is known of a connected context.
    pub(crate) fn info(&self, id: ContextId) -> Option<&Arc<ContextInfo>> {
        self.contexts.get(id)
    }

    /// Every connected context, by its id.
    pub(crate) fn infos(&self) -> impl Iterator<Item = &Arc<ContextInfo>> {
        self.contexts.iter()
    }

    // ---- messages -------------------------------------------------------------------------

    /// Sends a request and has its answer, or its end, told to `waiter`.
    pub(crate) fn request(
        &mut self,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
        waiter: oneshot::Sender<Reply>,
    ) -> Handle {
        let reply = self.machine.request(dst, handle, body);
        self.waiters.insert(reply, Waiter::Answer(waiter));
        reply
    }

    /// Sends a message that wants no answer.
    pub(crate) fn send(
        &mut self,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
    ) -> Result<(), Error> {
        self.check_way(dst)?;
        self.machine.send(dst, handle, body);
        Ok(())
    }

    /// Sends a message that pays from an account, which hears what comes to its credit handle.
    pub(crate) fn send_for_credit(
        &mut self,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
        account: &Arc<Account>,
    ) -> Result<(), Error> {
        self.check_way(dst)?;
        let credit = account.handle(|| {
            let credit = self.machine.open_credit(dst);
            self.waiters.insert(credit, Waiter::Credit(Arc::clone(account)));
            credit
        });
        self.machine.send_with_reply(dst, handle, body, credit);
        Ok(())
    }

    /// Sends a message whose answers, if any, come to a mailbox that is open already.
    pub(crate) fn send_from(
        &mut self,
        reply: Option<Handle>,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
    ) {
        match reply {
            Some(reply) => self.machine.send_with_reply(dst, handle, body, reply),
            None => self.machine.send(dst, handle, body),
        }
    }

    /// The neighbour that leads to a context.
    pub(crate) fn route(&self, dst: ContextId) -> Option<ContextId> {
        self.machine.route(dst)
    }

    /// Sees the queue of the link to a neighbour.
    pub(crate) fn queue_of(&self, link: ContextId) -> Option<mitogen_transport::QueueWatch> {
        self.links.queue(link)
    }

    pub(crate) fn reply(&mut self, to: &Message, body: (Encoding, Bytes)) {
        self.machine.reply(to, body);
    }

    pub(crate) fn send_dead(&mut self, dst: ContextId, handle: Handle, reason: &mitogen_wire::body::Dead) {
        self.machine.send_dead(dst, handle, reason);
    }

    /// Has what comes to this handle, or to one of its own, told to `waiter`.
    pub(crate) fn open(
        &mut self,
        handle: Option<Handle>,
        mailbox: Mailbox,
        waiter: Waiter,
    ) -> Result<Handle, Error> {
        self.check_open()?;
        let handle = match handle {
            None => self.machine.open(mailbox),
            Some(handle) => {
                self.machine.open_at(handle, mailbox).map_err(|_| Error::HandleTaken { handle })?;
                handle
            }
        };
        self.waiters.insert(handle, waiter);
        Ok(handle)
    }

    /// Nobody waits at this handle any more.
    pub(crate) fn forget(&mut self, handle: Handle) {
        self.waiters.remove(handle);
        self.machine.close(handle);
    }

    /// The counters of a neighbour's link.
    pub(crate) fn stats(&self, link: ContextId) -> Option<LinkStats> {
        self.links.stats(link)
    }

    /// Adds to the counters of a link what is not null in `more`.
    pub(crate) fn note_modules(&mut self, link: ContextId, more: &LinkStats) {
        if let Some(stats) = self.links.stats_mut(link) {
            stats.modules_sent += more.modules_sent;
            stats.module_messages += more.module_messages;
            stats.module_bytes += more.module_bytes;
            stats.module_time += more.module_time;
        }
    }

    // ---- the outputs ----------------------------------------------------------------------

    /// Carries out all that the machine asks for, and notes what must be done without the lock.
    pub(crate) fn drain(&mut self, effects: &mut Vec<Effect>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit { link, message } => {
                    effects.extend(protocol_log::sent(link, &message).map(Effect::Sent));
                    self.links.transmit(link, &message);
                }
                Output::Deliver { handle, message } => self.deliver(handle, message, effects),
                Output::Closed { handle, reason } => self.close_waiter(handle, reason, effects),
                Output::RouteAdded { context, via, name } => self.route_added(context, via, name, effects),
                Output::RouteLost { context, via } => self.route_lost(context, via, effects),
                Output::Detaching { context } => {
                    if let Some(info) = self.contexts.get(context) {
                        info.set_detached(true);
                    }
                }
                Output::Rejected { link, src, handle, why } => {
                    let (name, first) = (self.name_of(link), self.links.offend(link));
                    effects.push(Effect::Rejected { name, first, src, handle, why });
                }
                _ => {}
            }
        }
    }

    fn deliver(&mut self, handle: Handle, message: Message, effects: &mut Vec<Effect>) {
        match handle {
            ForwardLog::HANDLE => {
                self.show_clients(&message);
                effects.push(Effect::Log(self.name_of(message.src), message));
            }
            GetModule::HANDLE => self.module_asked(&message, effects),
            GetResource::HANDLE => {
                let request = GetResource::decode(&message).ok();
                if let Some(request) = request.filter(|_| self.links.stats(message.src).is_some()) {
                    effects.push(Effect::Ask(Ask::Resource { link: message.src, request }));
                }
            }
            plans::HANDLE => effects.push(Effect::Plan(message)),
            _ => match self.waiters.take(handle) {
                Some(Waiter::Queue(queue)) => effects.push(Effect::Queue(queue, message)),
                Some(Waiter::Acks) => effects.push(Effect::Ack(message)),
                Some(Waiter::Credit(account)) => {
                    effects.push(Effect::Credit(account, Reply::Message(message)))
                }
                Some(Waiter::Answer(waiter)) => effects.push(Effect::Answer(waiter, Reply::Message(message))),
                Some(Waiter::Abandoned(id)) => self.finish_attempt(id),
                None => {}
            },
        }
    }

    /// Sends a context's log record to the programs on listeners, as if it came from there to them. One that
    /// does not read misses some.
    fn show_clients(&mut self, record: &Message) {
        let is_wanted = self.contexts.log_readers().next().is_some();
        if !is_wanted || self.contexts.client(record.src).is_some() || ForwardLog::decode(record).is_err() {
            return;
        }
        for client in self.contexts.log_readers() {
            let waiting = self.links.queue(client).map_or(0, |queue| queue.queued());
            let own = self.machine.route(record.src) == Some(client);
            if waiting < LOGS_WAITING && !own {
                self.links.transmit(client, &Message { dst: client, ..record.clone() });
            }
        }
    }

    /// Only neighbours are answered: those behind them ask them.
    fn module_asked(&mut self, message: &Message, effects: &mut Vec<Effect>) {
        let link = message.src;
        let Some(stats) = self.links.stats_mut(link) else { return };
        let dialect = self.contexts.get(link).map(|info| info.dialect).unwrap_or_default();
        match modules::read_request(message, dialect) {
            Some((_, Some(body))) => self.machine.send(link, LoadModule::HANDLE, body),
            Some((name, None)) => {
                stats.module_requests += 1;
                effects.push(Effect::Ask(Ask::Module { link, dialect, name }));
            }
            None => {}
        }
    }

    fn close_waiter(&mut self, handle: Handle, reason: Closed, effects: &mut Vec<Effect>) {
        match self.waiters.remove(handle) {
            Some(Waiter::Answer(waiter)) => effects.push(Effect::Answer(waiter, Reply::Closed(reason))),
            Some(Waiter::Credit(account)) => effects.push(Effect::Credit(account, Reply::Closed(reason))),
            Some(Waiter::Abandoned(id)) => self.finish_attempt(id),
            // A receiver sees the end of its queue.
            Some(Waiter::Queue(_) | Waiter::Acks) | None => {}
        }
    }

    fn route_added(
        &mut self,
        context: ContextId,
        via: ContextId,
        name: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Tell(Event::RouteAdded { context, via }));
        if self.contexts.client(context).is_some() {
            // Its listener tells of it.
            return;
        }
        let Known { info, unwanted } = self.contexts.appear(context, via, name);
        if unwanted {
            self.shut_down(context);
        } else {
            let parent = info.parent.as_ref().map_or(ContextId::CONTROLLER, |parent| parent.id);
            effects.push(Effect::Tell(Event::Connected { context: info.label(), parent }));
        }
    }

    fn route_lost(&mut self, context: ContextId, via: ContextId, effects: &mut Vec<Effect>) {
        effects.push(Effect::Tell(Event::RouteRemoved { context, via }));
        effects.push(Effect::Gone(context));
        if self.contexts.remove_client(context) {
            return;
        }
        let (info, orphans) = self.contexts.disappear(context);
        for orphan in orphans {
            self.machine.release_id(orphan);
        }
        let Some(info) = info else { return };
        // A neighbour's reason was set by its link.
        info.lose(|| match () {
            () if info.is_detached() => LostReason::Detached,
            () if info.is_shutting_down() => LostReason::ShutDown,
            () => LostReason::Disconnected,
        });
        if info.parent.is_some() {
            info.end();
        }
        let reason = info.lost_reason();
        effects.push(Effect::Tell(Event::Lost { context: info.label(), reason }));
    }

    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed { Err(Error::Closed) } else { Ok(()) }
    }

    fn check_way(&self, dst: ContextId) -> Result<(), Error> {
        self.check_open()?;
        if dst != self.machine.id() && self.machine.route(dst).is_none() {
            return Err(self.lost_error(dst));
        }
        Ok(())
    }

    /// The error of what cannot be sent to a context, or cannot be answered by it any more.
    pub(crate) fn lost_error(&self, id: ContextId) -> Error {
        let context = ContextLabel { id, name: self.name_of(id) };
        Error::Lost { context, hop: String::new(), reason: LostReason::Disconnected }
    }

    pub(crate) fn name_of(&self, id: ContextId) -> Arc<str> {
        match self.contexts.get(id).or(self.contexts.client(id)) {
            Some(info) => Arc::clone(&info.name),
            None => Arc::from(id.to_string()),
        }
    }
}
