//! x
mod cli; mod json; mod range; mod target;
fn main() {}
