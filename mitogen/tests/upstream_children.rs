//! Contexts that run upstream's core: real accounts behind them, and what our agent can that it cannot.
//!
//! `MITOGEN_UPSTREAM` names the packages, as `PATH` does directories (`cargo xtask test` sets it); what they have
//! in common with our agent is in `interop`.

#[macro_use]
#[allow(unused_macros)]
mod account_bed;
mod common;

use account_bed::{Bed, DEADLINE, check, needed, password, told, wrong};
use common::{process_exists, wait_dead};
use mitogen::{Agent, Context, Doas, Error, FailureKind, Local, LostReason, Printed, Router, Ssh, Su, Sudo};
use std::path::PathBuf;
use std::time::Duration;

/// The releases, each as an agent.
fn releases() -> Vec<PathBuf> {
    match std::env::var_os("MITOGEN_UPSTREAM") {
        Some(packages) => std::env::split_paths(&packages).collect(),
        None => {
            eprintln!("skipped: releases of upstream's are not installed (`cargo xtask interop` does it)");
            Vec::new()
        }
    }
}

fn router(package: PathBuf) -> Router {
    let router = Router::builder().agent(Agent::Upstream(package)).connect_timeout(DEADLINE).build();
    router.expect("a router")
}

async fn context(router: &Router) -> Context {
    router.connect(Local::new()).await.expect("a context")
}

/// A testbed whose contexts run each release in turn.
fn beds(test: &str) -> impl Iterator<Item = Bed> {
    let dir = account_bed::testbed(test);
    releases().into_iter().filter_map(move |package| {
        let scratch = tempfile::tempdir().expect("a directory");
        Some(Bed { dir: dir.clone()?, router: router(package), scratch })
    })
}

fn ssh(bed: &Bed, account: &str) -> Ssh {
    Ssh::new(account).config(bed.dir.join("ssh_config").to_string_lossy())
}

#[tokio::test]
async fn other_accounts_stand_behind_ssh() {
    for bed in beds("other_accounts_stand_behind_ssh") {
        let (plain, asked) = (bed.account("tb_sudo").await, bed.account("tb_sudopw").await);
        check(&plain, "tb_sudo").await;
        check(&plain.connect(Sudo::new()).await.expect("sudo"), "root").await;
        let sudo = Sudo::new().password(password("tb_sudopw"));
        check(&asked.connect(sudo).await.expect("sudo with a password"), "root").await;
        let su = Su::new().user("tb_target").password(password("tb_target"));
        check(&asked.connect(su).await.expect("su"), "tb_target").await;
        let doas = bed.account("tb_doas").await;
        check(&doas.connect(Doas::new()).await.expect("doas"), "root").await;
        bed.router.shutdown().await.expect("an orderly end");
    }
}

#[tokio::test]
async fn ssh_and_sudo_stand_behind_ssh() {
    for bed in beds("ssh_and_sudo_stand_behind_ssh") {
        // By our first hop, by upstream's ssh, by upstream's sudo behind that, and a process of its own there.
        let here = context(&bed.router).await;
        let far = here.connect(ssh(&bed, "tb_sudo")).await.expect("ssh");
        check(&far, "tb_sudo").await;
        let root = far.connect(Sudo::new()).await.expect("sudo");
        check(&root, "root").await;
        let again = root.connect(ssh(&bed, "tb_bash")).await.expect("ssh behind sudo");
        check(&again, "tb_bash").await;
        let last = again.connect(Local::new()).await.expect("a process there");
        check(&last, "tb_bash").await;
        // What leads to others takes them with it, and the rest stays.
        root.shutdown().await.expect("an orderly end");
        let gone = last.call::<u32>("os.getpid", ()).await;
        assert!(matches!(gone, Err(Error::Lost { .. })), "{gone:?}");
        check(&far, "tb_sudo").await;
        bed.router.shutdown().await.expect("an orderly end");
    }
}

#[tokio::test]
async fn what_upstream_says_of_a_failure_is_understood() {
    for bed in beds("what_upstream_says_of_a_failure_is_understood") {
        let account = bed.account("tb_sudopw").await;
        let error = told(account.connect(Sudo::new().password("pw-tb_wrong")).await);
        assert_eq!(error.kind, wrong(), "{error}");
        assert_eq!(error.via.as_deref(), Some(account.name()));
        let error = told(account.connect(Sudo::new()).await);
        assert_eq!(error.kind, needed(), "{error}");
        let error = told(context(&bed.router).await.connect(ssh(&bed, "no-such-account")).await);
        assert!(!matches!(error.kind, FailureKind::TimedOut), "{error}");
        // It lives on.
        check(&account, "tb_sudopw").await;
        bed.router.shutdown().await.expect("an orderly end");
    }
}

#[tokio::test]
async fn a_context_detaches_and_lives_on() {
    for package in releases() {
        let router = router(package);
        let (first, second) = (context(&router).await, context(&router).await);
        let behind = second.connect(Local::new()).await.expect("a context");
        let mut pids = Vec::new();
        for context in [&first, &second, &behind] {
            pids.push(context.call::<u32>("os.getpid", ()).await.expect("a pid"));
        }
        first.detach().await.expect("it leaves");
        second.detach().await.expect("it leaves");
        for context in [&first, &behind] {
            let gone = context.call::<u32>("os.getpid", ()).await;
            assert!(
                matches!(
                    gone,
                    Err(Error::Lost { reason: LostReason::Detached | LostReason::Behind { .. }, .. })
                ),
                "{gone:?}"
            );
        }
        router.shutdown().await.expect("an orderly end");
        std::thread::sleep(Duration::from_millis(200));
        for pid in pids {
            assert!(process_exists(pid), "it has ended with its router");
            std::process::Command::new("kill").arg(pid.to_string()).status().expect("kill");
            wait_dead(pid, DEADLINE);
        }
    }
}

#[tokio::test]
async fn a_command_runs_and_what_it_printed_comes_at_its_end() {
    for package in releases() {
        let router = router(package);
        let context = context(&router).await;
        let command = mitogen::Command::shell("cat; echo err >&2; exit 3").stdin("out");
        let mut running = context.spawn(command).expect("it starts");
        let mut printed = Vec::new();
        while let Some(piece) = running.next().await.expect("a piece") {
            printed.push(piece);
        }
        assert_eq!(printed, [Printed::Stdout("out".into()), Printed::Stderr("err\n".into())]);
        assert_eq!(running.status(), Some(3));
        router.shutdown().await.expect("an orderly end");
    }
}

#[tokio::test]
async fn what_needs_our_agent_says_so() {
    for package in releases() {
        let router = router(package);
        let context = context(&router).await;
        let folder = tempfile::tempdir().expect("a directory");
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        std::fs::write(&here, "content").expect("a file");
        let refusals = [
            context.upload(&here, &there).await.map(drop),
            context.download(&here, &there).await.map(drop),
            context.list_files(folder.path()).await.map(drop),
            context.make_directory(&there, None).await,
            router
                .upload_to(std::slice::from_ref(&context), &here, &there, &Default::default())
                .await
                .remove(0)
                .map(drop),
        ];
        for refused in refusals {
            match refused {
                Err(error @ Error::NotUpstream { .. }) => {
                    let text = error.to_string();
                    assert!(text.contains("runs upstream's core") && text.contains("FileService"), "{text}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(!there.exists());
        assert!(context.call::<u32>("os.getpid", ()).await.is_ok(), "it lives on");
        router.shutdown().await.expect("an orderly end");
    }
}
