//! Libraries of others, from PyPI: what tests import in contexts that have none of them.
//!
//! Each set lies in a directory of its own below the project's target directory, laid out as a virtualenv, pinned, and
//! is installed once. Their compiled parts are of no use to anybody, so it does not matter for which machine they are.

use std::path::Path;
use std::process::Command;

use crate::interpreters;
use crate::sh::{self, Result, fail};
use crate::system;

/// For contexts of Python 3.9 and later: a real virtualenv.
const CURRENT: &[&str] = &[
    "django==4.2.16",
    "asgiref==3.8.1",
    "sqlparse==0.5.3",
    "typing_extensions==4.12.2",
    "requests==2.32.3",
    "urllib3==2.2.3",
    "certifi==2024.8.30",
    "charset_normalizer==3.4.0",
    "idna==3.10",
    "jinja2==3.1.4",
    "markupsafe==2.1.5",
    "pyyaml==6.0.2",
];

/// The last versions for a Python that is old, every package named: pip solves nothing for a Python that it does not run on.
struct Old {
    folder: &'static str,
    site: &'static str,
    target: &'static [&'static str],
    packages: &'static [&'static str],
}

const OLD: &[Old] = &[
    Old {
        folder: "python3.6",
        site: "lib/python3.6/site-packages",
        target: &["--python-version", "3.6", "--abi", "cp36m"],
        packages: &[
            "django==3.2.25",
            "asgiref==3.4.1",
            "pytz==2024.1",
            "sqlparse==0.4.4",
            "typing_extensions==4.1.1",
            "requests==2.27.1",
            "urllib3==1.26.20",
            "certifi==2021.10.8",
            "charset_normalizer==2.0.12",
            "idna==3.4",
            "jinja2==3.0.3",
            "markupsafe==2.0.1",
            "pyyaml==5.4.1",
        ],
    },
    Old {
        folder: "python2.7",
        site: "lib/python2.7/site-packages",
        target: &["--python-version", "2.7", "--abi", "cp27mu"],
        packages: &[
            "django==1.11.29",
            "pytz==2024.1",
            "requests==2.27.1",
            "urllib3==1.26.20",
            "certifi==2021.10.8",
            "chardet==4.0.0",
            "idna==2.10",
            "jinja2==2.11.3",
            "markupsafe==1.1.1",
            "pyyaml==5.4.1",
        ],
    },
];

/// Installs what is not there yet. Tests find it as `xtask/libraries` in the target directory.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let Some(base) = interpreters::preferred().filter(|python| python.minor() >= (3, 9)) else {
        fail!("there is no Python 3.9 or later to install them with");
    };
    let folder = sh::target_dir(root).join("xtask/libraries");
    let python = system::venv(&base.path, &folder.join("current"), CURRENT)?;
    OLD.iter().try_for_each(|old| old.install(&python, &folder.join(old.folder)))
}

impl Old {
    fn install(&self, python: &Path, folder: &Path) -> Result<()> {
        let stamp = folder.join("packages.txt");
        let wanted = format!("{}\n{}\n", self.target.join(" "), self.packages.join("\n"));
        if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
            return Ok(());
        }
        let _ = std::fs::remove_dir_all(folder);
        let mut pip = Command::new(python);
        system::without_python_variables(&mut pip);
        pip.args(["-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-compile"]);
        pip.args(["--only-binary=:all:", "--implementation", "cp"]).args(self.target);
        for platform in ["manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"] {
            pip.args(["--platform", platform]);
        }
        sh::output(pip.arg("--target").arg(folder.join(self.site)).args(self.packages))?;
        sh::write(&stamp, wanted, 0o644)
    }
}
