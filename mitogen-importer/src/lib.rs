//! Which module goes to which context, in what order, once.
//!
//! Pure: no file is opened here. The [`Responder`] asks with an [`Output`], the world answers with
//! [`Found`]; what a source imports is found by [`scan()`], which never fails and never executes anything.
//!
//! ```
//! use bytes::Bytes;
//! use mitogen_importer::{Found, Absence, Module, ModuleName, Output, Policy, Responder, needs, scan};
//! use mitogen_wire::ContextId;
//! use std::sync::Arc;
//!
//! let find = |name: ModuleName| {
//!     let source: &[u8] = match name.as_str() {
//!         "app" => b"import json, helper\n",
//!         "helper" => b"def help(): pass\n",
//!         _ => return Found::Absent(Absence::Missing),
//!     };
//!     Found::Module(Arc::new(Module {
//!         children: None,
//!         packages: Vec::new(),
//!         path: format!("{name}.py"),
//!         source: Bytes::from_static(source),
//!         needs: needs(&scan(source), &name, false),
//!         name,
//!     }))
//! };
//! let mut responder = Responder::new(Policy::default());
//! responder.handle_request(ContextId(1), ModuleName::parse("app")?);
//! let mut sent = Vec::new();
//! loop {
//!     match responder.poll_output().expect("a request is always answered") {
//!         Output::Find(name) => responder.handle_found(name.clone(), find(name)),
//!         Output::Send { answer, .. } => {
//!             sent.extend(answer.modules.iter().map(|module| module.name.to_string()));
//!             if answer.last {
//!                 break;
//!             }
//!         }
//!     }
//! }
//! assert_eq!(sent, ["app", "helper"]);
//! # Ok::<(), mitogen_importer::NameError>(())
//! ```
//!
//! # Contents
//!
//! | what | where |
//! |---|---|
//! | names of modules | [`ModuleName`], [`NameError`] |
//! | what may be sent | [`Policy`], [`Denial`] |
//! | what a source imports | [`scan()`], [`Scan`], [`Import`], [`Runs`], [`needs()`] |
//! | what every target has | [`is_stdlib`], [`stdlib_names`] |
//! | the root's machine | [`Responder`], [`Output`], [`Answer`], [`Module`], [`Found`], [`Absence`] |
//! | in the form that other peers know | [`Dialect`], [`Delivery`] |
//! | the machine of those between | [`Forwarder`] |
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod forwarder;
mod history;
mod module;
mod name;
mod needs;
mod order;
mod policy;
mod responder;
mod scan;
mod standard;
mod stdlib;

pub use forwarder::{Forwarder, Step};
pub use module::{Absence, Found, Module};
pub use name::{ModuleName, NameError};
pub use needs::needs;
pub use policy::{Denial, Policy};
pub use responder::{Answer, Output, Responder};
pub use scan::{Import, Runs, Scan, scan};
pub use standard::{Delivery, Dialect};
pub use stdlib::{is_stdlib, stdlib_names};
