//! A context on this machine.

use super::options::option_table;
use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, Wiring};

/// A process on this machine, under the same user.
#[derive(Clone, Debug, Default)]
pub struct Local {
    pub(super) common: Common,
}

common_options!(Local);

option_table!(Local = "local", this, opt, {});

impl Local {
    /// A context on this machine, by the first Python interpreter found.
    pub fn new() -> Local {
        Local::default()
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        "local".to_owned()
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        BootPlan {
            hop: self.hop(),
            argv: boot_command(&self.common.interpreter),
            env: Vec::new(),
            wiring: Wiring::PLAIN,
            logs_in: false,
            prompts: Vec::new(),
            failures: Vec::new(),
            hint: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_plan_is_the_boot_command_itself() {
        let plan = Local::new().python("python2.7").plan();
        assert_eq!(plan.argv[..2], ["sh", "-c"]);
        assert_eq!(plan.argv[3..], ["python2.7"]);
        assert_eq!(plan.wiring, Wiring::PLAIN);
    }
}
