//! The target grammar: a chain of hops, parsed from and printed in one form.
//!
//! ```text
//! target = hop { "/" hop }
//! hop    = method [":" argument] ["?" key "=" value {"&" key "=" value}]
//! ```
//!
//! In arguments and values `%XX` stands for a byte, so that `/`, `?`, `&` and `%` can be written. This file knows
//! the grammar only; which methods exist and which keys they take is the business of [`crate::connect`].

use std::{fmt, str::FromStr};

/// Where a command works: hops, read from this machine outwards. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// The hops, nearest first. Never empty.
    hops: Vec<Hop>,
}

/// One step of a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hop {
    /// The connection method: a lower-case word.
    pub(crate) method: String,
    /// What stands behind the colon, unescaped.
    pub(crate) argument: Option<String>,
    /// The options behind the question mark, unescaped, in the order given; each key once.
    pub(crate) options: Vec<(String, String)>,
}

/// What to say when a path may have been meant, and not another hop.
pub(crate) const SLASH: &str = "; a `/` inside a value is written %2F, and --python takes a path as it is";

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl Target {
    /// A child of this process: what a command works on when no target is named.
    pub(crate) fn local() -> Self {
        Self { hops: vec![Hop { method: "local".into(), argument: None, options: Vec::new() }] }
    }

    /// Of these hops; there must be one.
    pub(crate) fn of(hops: &[Hop]) -> Self {
        debug_assert!(!hops.is_empty());
        Self { hops: hops.to_vec() }
    }

    /// The hops, nearest first.
    pub(crate) fn hops(&self) -> &[Hop] {
        &self.hops
    }
}

impl Hop {
    /// The value of an option.
    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl FromStr for Target {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Err(Malformed("a target is empty; write `local` or `ssh:HOST`".into()));
        }
        let mut hops: Vec<Hop> = Vec::new();
        for (at, hop) in text.split('/').enumerate() {
            let had_options = hops.last().is_some_and(|hop| !hop.options.is_empty());
            // `python=/usr/bin/python3` ends the hop at an empty value.
            if let Some((key, _)) =
                hops.last().and_then(|hop| hop.options.last()).filter(|(_, value)| value.is_empty())
            {
                return Err(Malformed(cut(text, key, at)));
            }
            let hop = parse_hop(hop).map_err(|Malformed(why)| why);
            let advice = if had_options { SLASH } else { "" };
            hops.push(hop.map_err(|why| Malformed(format!("target `{text}`: {why}{advice}")))?);
        }
        Ok(Self { hops })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, hop) in self.hops.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            hop.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.method)?;
        if let Some(argument) = &self.argument {
            f.write_str(":")?;
            escape(argument, "?", f)?;
        }
        for (index, (key, value)) in self.options.iter().enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            f.write_str(key)?;
            f.write_str("=")?;
            escape(value, "&", f)?;
        }
        Ok(())
    }
}

/// What to write instead of a path whose first `/` has ended the hop; `at` counts the parts before the rest of it.
fn cut(text: &str, key: &str, at: usize) -> String {
    // What stands behind the path is another option, or a hop with an argument.
    let mut parts: Vec<&str> =
        text.split('/').skip(at).take_while(|part| !part.contains([':', '?'])).collect();
    if let Some(last) = parts.last_mut() {
        *last = last.split('&').next().unwrap_or_default();
    }
    let path = parts.join("/");
    let mut why = format!(
        "target `{text}`: a `/` begins another hop, so nothing stands behind `{key}=`; write {key}=%2F{}",
        path.replace('/', "%2F")
    );
    if key == "python" {
        why.push_str(&format!(", or use --python /{path}"));
    }
    why
}

fn parse_hop(text: &str) -> Result<Hop, Malformed> {
    if text.is_empty() {
        return Err(Malformed("a hop is empty; a `/` inside a name or value is written %2F".into()));
    }
    let (head, query) = match text.split_once('?') {
        Some((head, query)) => (head, Some(query)),
        None => (text, None),
    };
    let (method, argument) = match head.split_once(':') {
        Some((method, argument)) => (method, Some(argument)),
        None => (head, None),
    };
    if !is_word(method) {
        return Err(Malformed(format!(
            "`{method}` is no method name; a hop is METHOD[:ARGUMENT][?KEY=VALUE], a host ssh:[USER@]HOST[:PORT]"
        )));
    }
    let argument = match argument {
        Some("") => return Err(Malformed(format!("nothing stands behind `{method}:`"))),
        Some(text) => Some(unescape(text)?),
        None => None,
    };
    let mut options: Vec<(String, String)> = Vec::new();
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Malformed(format!("`{pair}` is no KEY=VALUE")));
        };
        if !is_word(key) {
            return Err(Malformed(format!("`{key}` is no option name")));
        }
        if options.iter().any(|(name, _)| name == key) {
            return Err(Malformed(format!("the option `{key}` is given twice")));
        }
        options.push((key.to_owned(), unescape(value)?));
    }
    Ok(Hop { method: method.to_owned(), argument, options })
}

/// A name of methods and options: a lower-case letter, then lower-case letters, digits, `-` and `_`.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

fn unescape(text: &str) -> Result<String, Malformed> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| tail.get(at).and_then(|&c| char::from(c).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(Malformed(format!(
                "`{text}`: a `%` is followed by two hex digits; a plain one is %25"
            )));
        };
        bytes.push((high * 16 + low) as u8);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| Malformed(format!("`{text}`: its escapes are not UTF-8")))
}

/// Writes `text` so that it can be read back: the separators of its place, blanks, controls and whatever would be
/// taken for a range are escaped; everything else stands as it is.
fn escape(text: &str, separator: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, c) in text.char_indices() {
        let special = c == '%'
            || c == '/'
            || separator.contains(c)
            || c.is_whitespace()
            || c.is_control()
            || (c == '[' && crate::range::starts_range(&text[at..]));
        if special {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                write!(f, "%{byte:02X}")?;
            }
        } else {
            write!(f, "{c}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Target {
        text.parse().unwrap_or_else(|why| panic!("{why}"))
    }

    fn fault(text: &str) -> String {
        match text.parse::<Target>() {
            Ok(target) => panic!("{text} was taken for {target:?}"),
            Err(Malformed(why)) => why,
        }
    }

    #[test]
    fn the_forms_of_the_manual_are_read_and_printed_back() {
        for text in [
            "local",
            "local?python=python2.7",
            "local?python=%2Fusr%2Fbin%2Fpython3",
            "ssh:alice@web1:2222",
            "ssh:alice@[::1]:2222",
            "ssh:bastion/ssh:db1/sudo:root/docker:billing0",
            "kubectl:pod%2Fx?container=a=b&python=py%26thon%25",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn a_hop_is_taken_apart() {
        let target = parse("ssh:a%3Fb?python=%2Fbin%2Fpy&x=1");
        let [hop] = target.hops() else { panic!("one hop expected") };
        assert_eq!(hop.method, "ssh");
        assert_eq!(hop.argument.as_deref(), Some("a?b"));
        assert_eq!(hop.option("python"), Some("/bin/py"));
        assert_eq!(hop.option("x"), Some("1"));
        assert_eq!(hop.option("y"), None);
    }

    #[test]
    fn bad_targets_say_what_is_wrong() {
        assert!(fault("").contains("empty"));
        assert!(fault("ssh:a//ssh:b").contains("%2F"));
        assert!(fault("ssh:").contains("behind `ssh:`"));
        let told = fault("local?python=/usr/bin/python3");
        assert!(
            told.contains("write python=%2Fusr%2Fbin%2Fpython3, or use --python /usr/bin/python3"),
            "{told}"
        );
        assert!(fault("docker:x?socket=/run/a&user=b/ssh:c").ends_with("write socket=%2Frun%2Fa"));
        assert!(fault("local?python=venv/.bin/python").contains("%2F"));
        assert!(!fault("ssh:a/-").contains("%2F"));
        assert!(fault("web1.example").contains("METHOD"));
        assert!(fault("local?python").contains("KEY=VALUE"));
        assert!(fault("local?python=a&python=b").contains("twice"));
        assert!(fault("local?python=%zz").contains("%25"));
        assert!(fault("local?python=%ff").contains("UTF-8"));
    }

    fn hops() -> impl Strategy<Value = Vec<Hop>> {
        let word = "[a-z][a-z0-9_-]{0,6}";
        // Any text, with the characters that matter often enough.
        let text = prop_oneof![".{1,8}", r"[\[\]%/?&=:#0-9,a -]{1,12}"];
        let hop =
            (word, proptest::option::of(text.clone()), proptest::collection::btree_map(word, text, 0..3))
                .prop_map(|(method, argument, options)| Hop {
                    method,
                    argument,
                    options: options.into_iter().collect(),
                });
        proptest::collection::vec(hop, 1..4)
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(hops in hops()) {
            let target = Target { hops };
            let text = target.to_string();
            prop_assert_eq!(&text.parse::<Target>().unwrap(), &target);
            // A printed target passes through range expansion and a targets file unchanged.
            prop_assert_eq!(crate::range::expand(&text).unwrap(), vec![text.clone()]);
            prop_assert!(!text.contains(char::is_whitespace));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
            }
        }
    }
}
