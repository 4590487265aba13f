//! Answers to contexts that miss a module.
//!
//! Parts of the agent that a first call does not need are embedded in this program and sent when
//! they are first imported. Everything else is answered with "no such module".

use bytes::Bytes;
use mitogen_wire::body::{GetModule, LoadModule, LoadedModule};
use mitogen_wire::{Encoding, Handle, Message};

/// What to send to the asker, or `None` when the request cannot be read: an answer must name the
/// module exactly.
pub(crate) fn answer(request: &Message) -> Option<(Handle, (Encoding, Bytes))> {
    let GetModule { name } = GetModule::decode(request).ok()?;
    let module = mitogen_bootstrap::deferred_module(&name).map(|module| LoadedModule {
        package: None,
        path: module.path.to_owned(),
        compressed: Bytes::from_static(module.zlib),
        related: Vec::new(),
    });
    let body = LoadModule { name, module }.encode().ok()?;
    Some((LoadModule::HANDLE, body))
}
