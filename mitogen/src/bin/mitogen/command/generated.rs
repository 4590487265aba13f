//! `mitogen completions SHELL` and `mitogen man [COMMAND]`

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use clap::CommandFactory;
use std::io;

/// The completions of a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mitogen", &mut text);
    text
}

/// A manual page: the whole command's, or one subcommand's.
///
/// # Errors
/// There is no such subcommand: which ones there are.
pub(crate) fn man(args: &ManArgs) -> Result<Vec<u8>, String> {
    let mut whole = Cli::command();
    whole.build();
    let page = match &args.command {
        None => whole,
        Some(name) => {
            let found = whole.find_subcommand(name).cloned();
            let Some(command) = found else {
                let names: Vec<&str> = whole.get_subcommands().map(clap::Command::get_name).collect();
                return Err(format!("there is no command `{name}`; there are: {}", names.join(", ")));
            };
            command.display_name(format!("mitogen-{name}"))
        }
    };
    let mut text = Vec::new();
    let render = |text: &mut Vec<u8>| -> io::Result<()> { clap_mangen::Man::new(page).render(text) };
    render(&mut text).map_err(|error| error.to_string())?;
    Ok(as_it_stands(&String::from_utf8_lossy(&text)).into_bytes())
}

/// The examples and tables behind the options keep their lines and columns.
fn as_it_stands(page: &str) -> String {
    const HEADING: &str = "\n.SH EXTRA\n";
    let Some((before, behind)) = page.split_once(HEADING) else { return page.to_owned() };
    let (extra, rest) = behind.split_at(behind.find("\n.SH ").map_or(behind.len(), |at| at + 1));
    format!("{before}{HEADING}.nf\n{extra}{}.fi\n{rest}", if extra.ends_with('\n') { "" } else { "\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_and_every_command_has_its_text() {
        use clap::ValueEnum;
        for &shell in clap_complete::Shell::value_variants() {
            let text = completions(&CompletionsArgs { shell });
            assert!(String::from_utf8(text).unwrap().contains("connect-timeout"), "{shell}");
        }
        for command in Cli::command().get_subcommands() {
            let page = man(&ManArgs { command: Some(command.get_name().into()) }).unwrap();
            assert!(String::from_utf8(page).unwrap().contains(".SH"), "{}", command.get_name());
        }
        assert!(String::from_utf8(man(&ManArgs { command: None }).unwrap()).unwrap().contains("doctor"));
        let page = String::from_utf8(man(&ManArgs { command: None }).unwrap()).unwrap();
        assert!(page.contains(".SH EXTRA\n.nf\n") && page.contains("\n.fi\n.SH VERSION"), "{page}");
        assert!(man(&ManArgs { command: Some("nonsense".into()) }).unwrap_err().contains("doctor"));
    }
}
