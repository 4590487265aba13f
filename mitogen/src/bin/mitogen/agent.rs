//! Which program is to run at the far end.

use mitogen::Agent;
use std::{path::PathBuf, process::Stdio, str::FromStr};

/// `builtin`, `upstream` or `upstream=PACKAGE_DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Our own.
    Builtin,
    /// Upstream's core: of this package, or of the one that this machine's Python has.
    Upstream(Option<PathBuf>),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "builtin" => Ok(Self::Builtin),
            None if text == "upstream" => Ok(Self::Upstream(None)),
            Some(("upstream", path)) if !path.is_empty() => Ok(Self::Upstream(Some(path.into()))),
            _ => Err("the form is builtin, upstream or upstream=PACKAGE_DIR".to_owned()),
        }
    }
}

/// Says where a package is without importing it.
const LOCATE: &str = "\
import sys
try:
 from importlib.util import find_spec
 spec=find_spec('mitogen')
 path=spec and spec.submodule_search_locations[0]
except ImportError:
 import imp
 path=imp.find_module('mitogen')[1]
sys.stdout.write(path or '')
";

/// The program for the router.
///
/// # Errors
/// No package was named, and none is installed.
pub(crate) async fn agent(choice: Option<&Choice>) -> Result<Agent, String> {
    match choice {
        None | Some(Choice::Builtin) => Ok(Agent::Builtin),
        Some(Choice::Upstream(Some(path))) => Ok(Agent::Upstream(path.clone())),
        Some(Choice::Upstream(None)) => {
            for python in ["python3", "python"] {
                let mut command = tokio::process::Command::new(python);
                let found = command.args(["-c", LOCATE]).stdin(Stdio::null()).output().await;
                if let Ok(path) = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
                    && !path.is_empty()
                {
                    return Ok(Agent::Upstream(path.into()));
                }
            }
            Err("--agent upstream: no mitogen package is installed here; install one (pip install mitogen), or \
                 name one: --agent upstream=PACKAGE_DIR"
                .to_owned())
        }
    }
}
