//! Values of options: what is no value is refused before anything is done.

use std::time::Duration;

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(time) if !time.is_zero() && number < 1e9 => Ok(time),
        _ => Err("not a time: more than 0 seconds and less than 1e9".to_owned()),
    }
}

pub(super) fn keyword(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("the form is NAME=VALUE")?;
    match is_identifier(name) {
        true => Ok((name.to_owned(), value.to_owned())),
        false => Err(format!("`{name}` is no name of a Python argument")),
    }
}

pub(super) fn ssh_option(text: &str) -> Result<String, String> {
    match text.split_once(['=', ' ']) {
        Some((key, _)) if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Ok(text.to_owned())
        }
        _ => Err("the form is KEYWORD=VALUE, as in ssh_config".to_owned()),
    }
}

/// Whether Python could take it for a name. Non-ASCII names exist in Python 3, so letters of any script pass.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
        && text.chars().all(|c| c == '_' || c.is_alphanumeric())
}
