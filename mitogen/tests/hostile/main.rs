//! Children that do not play by the rules: whatever they send, it costs them their own link at most, and
//! others work on.

#[path = "../common/mod.rs"]
mod common;
mod corruption;
mod forgery;
mod load;
mod stage;
