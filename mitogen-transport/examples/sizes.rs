//! The bytes that a new context costs, as JSON for `cargo xtask size`:
//! `{"command_bytes":N,"preamble_bytes":N,"modules":{"mitogen.core":N,...}}`.
//!
//! All of it by the product's own API with default options: the command line of `ssh foo` joined by blanks, all that is
//! written to stdin until the context is ready, and each module of the agent, minified and compressed alone (together
//! the core ones take less).

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use mitogen_bootstrap::{BootConfig, Preamble, deferred_modules};
use mitogen_transport::Ssh;
use mitogen_wire::{ContextId, SessionKey};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plan = Ssh::new("foo").plan();
    let command = plan.argv.join(" ");

    let mut config = BootConfig::new(ContextId(1), vec![ContextId::CONTROLLER]);
    config.name = plan.hop;
    config.key = Some(SessionKey::from_random([7; 16]));
    let preamble = Preamble::new(&config, "alice@workstation.example:12345");
    let preamble = preamble.as_bytes();

    let mut modules: BTreeMap<String, usize> =
        deferred_modules().iter().map(|module| (module.name.to_owned(), module.zlib.len())).collect();
    for (name, source) in core_modules(preamble)? {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(source.as_bytes())?;
        modules.insert(name, zlib.finish()?.len());
    }

    let modules: Vec<String> = modules.iter().map(|(name, bytes)| format!("{name:?}:{bytes}")).collect();
    println!(
        "{{\"command_bytes\":{},\"preamble_bytes\":{},\"modules\":{{{}}}}}",
        command.len(),
        preamble.len(),
        modules.join(",")
    );
    Ok(())
}

/// Name and minified source of every module in a preamble: the pieces of its zlib stream, which follows the first NUL.
fn core_modules(preamble: &[u8]) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let stage = preamble.iter().position(|&byte| byte == 0).ok_or("a preamble holds a NUL")?;
    let mut text = String::new();
    ZlibDecoder::new(&preamble[stage + 1..]).read_to_string(&mut text)?;
    let mut pieces = text.split('\0').map(str::to_owned);
    let mut modules = vec![("loader".to_owned(), pieces.next().ok_or("the stream begins with the loader")?)];
    while let (Some(name), Some(source)) = (pieces.next(), pieces.next()) {
        modules.push((name, source));
    }
    Ok(modules)
}
