//! What sudo, su and doas have in common: the language in which they refuse.
//!
//! They and the PAM modules behind them speak the user's. With `LANGUAGE=C` they use their own words, which
//! rules can know, while the locale, and so the encoding, stays what it is.

use mitogen_bootstrap::plan::EnvChange;
use mitogen_bootstrap::{Interpreter, boot_command};

/// What changes in the tool's environment.
pub(super) fn environment() -> Vec<EnvChange> {
    vec![EnvChange::Set("LANGUAGE".to_owned(), "C".to_owned())]
}

/// The boot command, that puts an end to this where the tool lets the variable through.
pub(super) fn command(interpreter: &Interpreter) -> Vec<String> {
    let mut words = boot_command(interpreter);
    if let Some(script) = words.get_mut(2) {
        script.insert_str(0, "unset LANGUAGE;");
    }
    words
}
