//! What a Mitogen context needs to be born: first stage, preamble, agent and handshake, without IO.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod handshake;
mod handshake_lines;
mod handshake_markers;
pub mod plan;
