//! Which modules contexts may have at all.

use crate::ModuleName;

/// What may be sent: overrides and blocks, each a list of packages or modules.
///
/// A block denies the module and all within it. As soon as there is an override, everything that is not
/// within one is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    overrides: Vec<ModuleName>,
    blocks: Vec<ModuleName>,
}

/// Why a module may not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// It is blocked.
    #[error("{name} may not be sent: {block} is blocked")]
    Blocked {
        /// The module.
        name: ModuleName,
        /// The block that it falls under.
        block: ModuleName,
    },
    /// There are overrides, and it is not among them.
    #[error("{name} may not be sent: it is not among the overrides")]
    NotOverridden {
        /// The module.
        name: ModuleName,
    },
}

impl Policy {
    /// Denies a module and all within it.
    pub fn block(&mut self, name: ModuleName) {
        self.blocks.push(name);
    }

    /// Has a module and all within it come from here even where the target has it, and denies all else.
    pub fn override_with(&mut self, name: ModuleName) {
        self.overrides.push(name);
    }

    /// What must come from here.
    pub fn overrides(&self) -> &[ModuleName] {
        &self.overrides
    }

    /// What is denied.
    pub fn blocks(&self) -> &[ModuleName] {
        &self.blocks
    }

    /// Whether the module may be sent.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn check(&self, name: &ModuleName) -> Result<(), Denial> {
        if let Some(block) = self.blocks.iter().find(|block| name.is_within(block)) {
            return Err(Denial::Blocked { name: name.clone(), block: block.clone() });
        }
        // The program itself was asked for by whoever wrote the overrides.
        let wanted = |over: &ModuleName| name.is_within(over) || over.is_within(name);
        if self.overrides.is_empty() || name.as_str() == "__main__" || self.overrides.iter().any(wanted) {
            return Ok(());
        }
        Err(Denial::NotOverridden { name: name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ModuleName {
        ModuleName::parse(text).unwrap()
    }

    #[test]
    fn a_block_denies_a_package_with_all_its_members_and_no_other() {
        let mut policy = Policy::default();
        policy.block(name("secret.keys"));
        for denied in ["secret.keys", "secret.keys.private"] {
            let denial = policy.check(&name(denied)).unwrap_err();
            assert_eq!(denial, Denial::Blocked { name: name(denied), block: name("secret.keys") });
        }
        for fine in ["secret", "secret.keysmith", "keys"] {
            assert_eq!(policy.check(&name(fine)), Ok(()), "{fine}");
        }
    }

    #[test]
    fn an_override_denies_all_else_but_the_packages_around_it() {
        let mut policy = Policy::default();
        policy.override_with(name("app.core"));
        for fine in ["app", "app.core", "app.core.x", "__main__"] {
            assert_eq!(policy.check(&name(fine)), Ok(()), "{fine}");
        }
        for denied in ["application", "app.other", "os"] {
            assert_eq!(policy.check(&name(denied)), Err(Denial::NotOverridden { name: name(denied) }));
        }
    }
}
