//! Words for a remote login shell, whichever it is.

/// `word` written so that sh, bash, dash, zsh, tcsh and fish read it as one word with the same
/// characters. (Line feeds survive in all but csh and tcsh, which cannot quote them alike.)
///
/// Quotes, backslashes and exclamation marks stand outside the single quotes, since fish and csh
/// give the latter two a meaning inside.
pub fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    // A leading `=` is expanded by zsh.
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('=') {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len() + 2);
    let mut open = false;
    for c in word.chars() {
        let outside = matches!(c, '\'' | '\\' | '!');
        if outside == open {
            out.push('\'');
            open = !open;
        }
        if outside {
            out.push('\\');
        }
        out.push(c);
    }
    if open {
        out.push('\'');
    }
    if word.is_empty() { "''".to_owned() } else { out }
}

/// A command line of such words.
pub fn command<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|w| word(w.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn simple_words_stay_as_they_are() {
        assert_eq!(word("python3.11"), "python3.11");
        assert_eq!(word(""), "''");
        assert_eq!(word("for p in a;do echo $p;done"), "'for p in a;do echo $p;done'");
        assert_eq!(word("it's"), "'it'\\''s'");
        assert_eq!(word("\\"), "\\\\");
    }

    #[test]
    fn every_shell_here_reads_the_words_back() {
        let words = [
            "a b", "it's", "'", "\\", "a\\", "\\\\'", "!x", "a!b", "$HOME", "`id`", "\"q\"", "#c", "~", "*",
            "=ls", "{a,b}", "<x>", "(y)", "a;b", "a&b", "a|b", "\t", "é", "[z]", "?",
        ];
        for shell in ["sh", "bash", "dash", "zsh", "tcsh", "csh", "fish"] {
            let line = format!("printf '%s\\n' {}", command(&words));
            let Ok(output) = Command::new(shell).arg("-c").arg(&line).output() else {
                eprintln!("skipped: no {shell} here");
                continue;
            };
            let want = words.iter().map(|w| format!("{w}\n")).collect::<String>();
            assert_eq!(String::from_utf8_lossy(&output.stdout), want, "{shell}: {line}");
        }
    }
}
