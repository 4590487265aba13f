//! From imports to names: which modules a module will ask for when it is imported.

use crate::scan::{Import, Runs, Scan};
use crate::{ModuleName, stdlib};
use std::collections::BTreeSet;

/// The modules that are imported when `name` is, perhaps without need and perhaps in vain, each behind the
/// packages around it. Those that may not exist are among them (`from a import b` may mean the module `a.b`).
///
/// Without regard to time: what a function imports later, and what only type checkers import, is left out.
pub fn needs(scan: &Scan, name: &ModuleName, is_package: bool) -> Vec<ModuleName> {
    let package = match is_package {
        true => Some(name.clone()),
        false => name.parent(),
    };
    let mut found = Found { names: Vec::new(), seen: BTreeSet::from([name.clone()]) };
    for import in scan.imports.iter().filter(|import| import.runs <= Runs::Perhaps) {
        add(import, package.as_ref(), scan.absolute, &mut found);
    }
    found.names
}

struct Found {
    names: Vec<ModuleName>,
    seen: BTreeSet<ModuleName>,
}

impl Found {
    fn add(&mut self, name: &ModuleName) {
        for prefix in name.prefixes() {
            if self.seen.insert(prefix.clone()) {
                self.names.push(prefix);
            }
        }
    }
}

fn add(import: &Import, package: Option<&ModuleName>, absolute: bool, found: &mut Found) {
    let mut bases = Vec::new();
    if import.level > 0 {
        let Some(base) = package.and_then(|package| ancestor(package, import.level - 1)) else { return };
        let base = match import.module.is_empty() {
            true => Some(base),
            false => base.child(&import.module),
        };
        bases.extend(base);
    } else {
        let Ok(name) = ModuleName::parse(&import.module) else { return };
        // To Python 2 it may be a sibling.
        if !absolute && !stdlib::is_stdlib(name.top()) {
            bases.extend(package.and_then(|package| package.child(&import.module)));
        }
        bases.push(name);
    }
    for base in bases {
        found.add(&base);
        for name in import.names.iter().flatten().filter(|name| *name != "*") {
            if let Some(member) = base.child(name) {
                found.add(&member);
            }
        }
    }
}

fn ancestor(package: &ModuleName, steps: u32) -> Option<ModuleName> {
    let mut package = package.clone();
    for _ in 0..steps {
        package = package.parent()?;
    }
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    fn names(source: &str, name: &str, is_package: bool) -> Vec<String> {
        let name = ModuleName::parse(name).unwrap();
        needs(&scan(source.as_bytes()), &name, is_package).iter().map(ModuleName::to_string).collect()
    }

    #[test]
    fn packages_come_before_their_members() {
        assert_eq!(names("import a.b.c, a.d\n", "x", false), ["a", "a.b", "a.b.c", "a.d"]);
        assert_eq!(names("from a import b as c, d\n", "x", false), ["a", "a.b", "a.d"]);
        assert_eq!(names("from a import *\n", "x", false), ["a"]);
    }

    #[test]
    fn dots_are_counted_from_the_package() {
        let source = "from . import x\nfrom .y import z\nfrom ..w import v\nfrom .... import far\n";
        assert_eq!(names(source, "p.q.m", false), ["p", "p.q", "p.q.x", "p.q.y", "p.q.y.z", "p.w", "p.w.v"]);
        assert_eq!(names("from . import x\n", "p.q", true), ["p", "p.q.x"]);
        assert_eq!(names("from . import x\n", "alone", false), [""; 0]);
    }

    #[test]
    fn a_sibling_may_be_meant_unless_imports_are_absolute() {
        assert_eq!(names("import util\n", "p.m", false), ["p", "p.util", "util"]);
        let source = "from __future__ import absolute_import\nimport util\n";
        assert_eq!(names(source, "p.m", false), ["__future__", "__future__.absolute_import", "util"]);
    }

    #[test]
    fn what_runs_later_or_never_is_not_needed() {
        let source = "\
def f():
    import later
class C:
    import at_once
if TYPE_CHECKING:
    import never
else:
    import perhaps
";
        assert_eq!(names(source, "x", false), ["at_once", "perhaps"]);
    }
}
