//! A context in a container, by docker, podman or buildah: tools with one common form and one common
//! runtime, whose messages differ.

use super::options::option_table;
use super::rules::stderr;
use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, FailureKind, FailureRule, Wiring};

/// What is run in.
#[derive(Clone, Debug)]
enum Place {
    /// A container that runs.
    Container(String),
    /// A fresh container of an image, removed when the context ends.
    Image(String),
}

/// What the three have in common.
macro_rules! container_tool {
    ($(#[$doc:meta])* $method:ident, $tool:literal, { $($key:literal $(| $alias:literal)* => $set:ident $get:ident),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $method {
            pub(super) common: Common,
            place: Place,
            user: Option<String>,
            tool: String,
            args: Vec<String>,
        }

        common_options!($method);

        option_table!($method = $tool, this, opt, {
            $($key $(| $alias)* => this.$set(opt.$get()?)),*
        });

        impl $method {
            /// A context in this container, which must run.
            pub fn new(container: impl Into<String>) -> $method {
                $method {
                    common: Common::default(),
                    place: Place::Container(container.into()),
                    user: None,
                    tool: $tool.to_owned(),
                    args: Vec::new(),
                }
            }

            /// Runs as this user of the container: a name or a number, with `:GROUP` where that is wanted.
            #[must_use]
            pub fn user(mut self, user: impl Into<String>) -> $method {
                self.user = Some(user.into());
                self
            }

            /// Uses this program for the tool (default: the one in `PATH`).
            #[must_use]
            pub fn tool_path(mut self, path: impl Into<String>) -> $method {
                self.tool = path.into();
                self
            }

            /// Arguments for the tool itself, in front of its command: which host, which storage.
            #[must_use]
            pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> $method {
                self.args.extend(args.into_iter().map(Into::into));
                self
            }

            fn container(mut self, container: String) -> $method {
                self.place = Place::Container(container);
                self
            }

            /// The hop as users write it.
            pub fn hop(&self) -> String {
                match &self.place {
                    Place::Container(container) => format!("{}:{container}", $tool),
                    Place::Image(image) => format!("{}?image={}", $tool, image.replace('/', "%2F")),
                }
            }

            fn words(&self, words: &[&str]) -> Vec<String> {
                let mut argv = vec![self.tool.clone()];
                argv.extend(self.args.iter().cloned());
                argv.extend(words.iter().map(|word| (*word).to_owned()));
                argv.extend(self.user.iter().flat_map(|user| ["--user".to_owned(), user.clone()]));
                argv
            }

            fn finish(&self, argv: Vec<String>, failures: Vec<FailureRule>) -> BootPlan {
                let hint = match &self.place {
                    Place::Container(_) => format!("does `{} ps` show it?", $tool),
                    Place::Image(_) => format!("does `{} images` show it?", $tool),
                };
                BootPlan {
                    hop: self.hop(),
                    argv,
                    env: Vec::new(),
                    wiring: Wiring::PLAIN,
                    logs_in: true,
                    prompts: Vec::new(),
                    failures,
                    hint: Some(hint),
                }
            }
        }
    };
}

container_tool! {
    /// A process in a container, by docker.
    Docker, "docker", {
        "container" | "argument" => container text, "image" => set_image text, "username" => user text,
        "docker_path" => tool_path text, "docker_args" => args words
    }
}
container_tool! {
    /// A process in a container, by podman.
    Podman, "podman", {
        "container" | "argument" => container text, "image" => set_image text, "username" => user text,
        "podman_path" => tool_path text, "podman_args" => args words
    }
}
container_tool! {
    /// A process in a working container, by buildah.
    Buildah, "buildah", {
        "container" | "argument" => container text, "username" => user text,
        "buildah_path" => tool_path text, "buildah_args" => args words
    }
}

/// Both can start a container for the context.
macro_rules! starts_images {
    ($method:ident) => {
        impl $method {
            /// A context in a fresh container of this image; the container is removed when it ends.
            pub fn image(image: impl Into<String>) -> $method {
                $method::new("").set_image(image.into())
            }

            fn set_image(mut self, image: String) -> $method {
                self.place = Place::Image(image);
                self
            }

            /// What to run and how to read it.
            pub fn plan(&self) -> BootPlan {
                let (mut argv, place) = match &self.place {
                    Place::Container(container) => (self.words(&["exec", "--interactive"]), container),
                    Place::Image(image) => {
                        (self.words(&["run", "--interactive", "--rm", "--entrypoint="]), image)
                    }
                };
                argv.extend(["--".to_owned(), place.clone()]);
                argv.extend(boot_command(&self.common.interpreter));
                self.finish(argv, failures())
            }
        }
    };
}
starts_images!(Docker);
starts_images!(Podman);

impl Buildah {
    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let mut argv = self.words(&["run"]);
        let (Place::Container(container) | Place::Image(container)) = &self.place;
        argv.extend(["--".to_owned(), container.clone()]);
        argv.extend(boot_command(&self.common.interpreter));
        self.finish(argv, failures())
    }
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let missing = "check its name, as whom the tool runs (each account may have containers of its own) and with which daemon";
    let daemon =
        "start the daemon, or tell the tool where it listens (DOCKER_HOST, or `docker_args` with -H)";
    let group = "root and the daemon's group may use it: join that, or put sudo:root in front";
    let pull = "pull it first, or check its name";
    let shell = "a context needs a shell and Python in the container";
    vec![
        stderr(&["o such container"], Kind::TargetMissing, missing),
        stderr(&["no container with name or ID"], Kind::TargetMissing, missing),
        stderr(&["container not known"], Kind::TargetMissing, missing),
        stderr(&["o such image"], Kind::TargetMissing, missing),
        stderr(&["nable to find image "], Kind::TargetMissing, pull),
        stderr(&["pull access denied"], Kind::TargetMissing, pull),
        stderr(&["image not known"], Kind::TargetMissing, pull),
        stderr(&["rror: initializing source "], Kind::TargetMissing, pull),
        stderr(&["short-name ", "did not resolve"], Kind::TargetMissing, "name the image with its registry"),
        stderr(&["ontainer ", " is not running"], Kind::TargetStopped, "start it (`start NAME`)"),
        stderr(
            &["can only create exec sessions on running containers"],
            Kind::TargetStopped,
            "start it (`start NAME`)",
        ),
        stderr(&["ontainer ", " is paused"], Kind::TargetStopped, "unpause it (`unpause NAME`)"),
        stderr(&["nable to find user "], Kind::NoSuchUser, "check the user's name in the container"),
        stderr(&["no matching entries in passwd file"], Kind::NoSuchUser, "check the user's name"),
        stderr(&["unknown user error"], Kind::NoSuchUser, "check the user's name in the container"),
        stderr(&["ermission denied while trying to connect"], Kind::NotPermitted, group),
        stderr(&["annot connect to the Docker daemon"], Kind::Refused, daemon),
        stderr(&["failed to connect to the docker API"], Kind::Refused, daemon),
        stderr(&["executable file", "not found"], Kind::Exec, shell),
        stderr(&["no such file or directory", "exec"], Kind::Exec, shell),
        stderr(&["unknown flag: "], Kind::ToolUsage, "check the arguments for the tool"),
    ]
}
