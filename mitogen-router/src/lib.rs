//! Who may say what to whom, and by which neighbour.
//!
//! A tree of contexts has one [`Router`] in each. It is a machine without IO: the world tells it
//! what came by which link (`handle_*`), its user asks (plain verbs), and [`Router::poll_output`]
//! says what to do. A link is named by the [`ContextId`](mitogen_wire::ContextId) at its far end.
//!
//! ```
//! use bytes::Bytes;
//! use mitogen_router::{Config, LinkOptions, Output, Router};
//! use mitogen_wire::{ContextId, Encoding, Handle, Message};
//!
//! let mut controller = Router::new(Config::controller());
//! let child = controller.allocate_id()?;
//! controller.handle_link_up(child, LinkOptions::named("web1"))?;
//! while controller.poll_output().is_some() {}
//!
//! // A request goes out over the child's link ...
//! let reply = controller.request(child, Handle::CALL_FUNCTION, (Encoding::Pickle, Bytes::new()));
//! let Some(Output::Transmit { link, message }) = controller.poll_output() else { panic!() };
//! assert_eq!((link, message.dst), (child, child));
//!
//! // ... and its answer comes to the mailbox that was opened for it.
//! let answer = Message::new(child, ContextId::CONTROLLER, reply);
//! controller.handle_message(child, answer.clone());
//! assert_eq!(controller.poll_output(), Some(Output::Deliver { handle: reply, message: answer }));
//! # Ok::<(), mitogen_router::RouterError>(())
//! ```
//!
//! # Rules
//!
//! * Nothing is delivered or forwarded before its claimed source and authority were checked against
//!   the link that it came by (protocol.md section 5.2); a forged message is dropped in silence,
//!   because an answer could be abused, and reported as [`Output::Rejected`].
//! * What has no route goes to the parent; the controller, which has none, answers with a dead
//!   message.
//! * A mailbox that waits for one context is closed when that context is lost: every
//!   [`Router::request`] ends exactly once, in [`Output::Deliver`] or in [`Output::Closed`], unless
//!   its user closes it first.
//! * A route is announced by the link that leads to the context which was given the id, and
//!   withdrawn by the link that announced it.
//! * `ADD_ROUTE`, `DEL_ROUTE`, `GRANT`, `DETACHING` and (in the controller) `ALLOCATE_ID` are served here.
//! * What a neighbour can make us remember is bounded: its routes, its ids, its addressees.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod admit;
mod births;
pub mod credit;
mod egress;
mod error;
mod ids;
mod mailbox;
mod outbox;
mod output;
mod propagate;
mod router;
mod table;

pub use error::RouterError;
pub use ids::BLOCK_LEN;
pub use mailbox::{Access, Lifetime, Mailbox};
pub use outbox::{CONTROL_LIMIT, Outbox};
pub use output::{Closed, Output, Rejection};
pub use router::{Config, LinkOptions, Router};
