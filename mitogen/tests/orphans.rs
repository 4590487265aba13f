//! When the controller is killed its contexts are gone within two seconds, even if they are busy.

mod common;

use mitogen::blocking::Router;
use mitogen::{Call, Local, Value};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_killed_controller_takes_its_sleeping_contexts_along() {
    for python in common::interpreters() {
        let mut controller = Command::new(std::env::current_exe().expect("a test"))
            .args(["--exact", "a_controller_to_be_killed", "--ignored", "--nocapture"])
            .env("MITOGEN_TEST_PYTHON", &python)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the same test program");
        let lines = BufReader::new(controller.stdout.take().expect("a pipe")).lines();
        let pid: u32 = lines
            .map_while(Result::ok)
            .find_map(|line| line.rsplit_once("child ")?.1.parse().ok())
            .unwrap_or_else(|| panic!("{}: no child", python.display()));
        std::thread::sleep(Duration::from_millis(100)); // it is asleep by now, or soon
        controller.kill().expect("a kill");
        controller.wait().expect("an end");
        common::wait_dead(pid, Duration::from_secs(2));
    }
}

#[test]
#[ignore = "run by a_killed_controller_takes_its_sleeping_contexts_along"]
fn a_controller_to_be_killed() {
    let python = std::env::var("MITOGEN_TEST_PYTHON").expect("set by the other test");
    let router = Router::new().expect("a router");
    let context = router.connect(Local::new().python(python)).expect("a context");
    let pid: u32 = context.call("os.getpid", ()).expect("a pid");
    println!("child {pid}");
    let _ = context.start::<Value>(Call::new("time.sleep").arg(60)).wait();
}
