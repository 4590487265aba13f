//! `cargo xtask COMMAND`: see `cargo xtask --help`.

fn main() -> std::process::ExitCode {
    xtask::main()
}
