//! What a context needs to start others, sent before it has to ask.

use crate::error::Error;
use crate::info::ContextInfo;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_wire::body::{LoadModule, LoadedModule};
use mitogen_wire::{Encoding, Handle};

/// The agent's parent half, in the order in which its parts are imported. Asked for one after the other
/// they would cost a round trip each.
const PARTS: [&str; 7] = [
    "mitogen.spawn",
    "mitogen.loop",
    "mitogen.tree",
    "mitogen.library",
    "mitogen.handshake",
    "mitogen.stream",
    "mitogen.tool",
];

/// Sends a context the modules that it will import with its first plan; once.
///
/// A neighbour gets the modules themselves. Behind another context it is those between here and there,
/// parents all, that have the modules already: the nearest is told to pass them on.
pub(crate) fn equip(shared: &Shared, context: &ContextInfo) -> Result<(), Error> {
    // Upstream's core asks for what it needs.
    if shared.upstream.is_some() || !context.equip() {
        return Ok(());
    }
    let nearest = context.ancestors().last();
    for name in PARTS {
        let (to, handle, body) = match nearest {
            Some(nearest) => {
                let order = Bytes::from(format!("{}\0{name}", context.id));
                (nearest.id, Handle::FORWARD_MODULE, (Encoding::Implied, order))
            }
            None => {
                let Some(body) = module(name) else { continue };
                (context.id, LoadModule::HANDLE, body)
            }
        };
        shared.send(to, handle, body)?;
    }
    Ok(())
}

fn module(name: &str) -> Option<(Encoding, Bytes)> {
    let module = mitogen_bootstrap::deferred_module(name)?;
    let module = LoadedModule {
        package: None,
        path: module.path.to_owned(),
        compressed: Bytes::from_static(module.zlib),
        related: Vec::new(),
    };
    LoadModule { name: name.to_owned(), module: Some(module) }.encode().ok()
}
