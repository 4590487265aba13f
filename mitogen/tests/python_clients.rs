//! Programs that use upstream's package from PyPI, unmodified, use our contexts by a listener.
#![cfg(feature = "cli")]

mod cli_support;
mod hall;
mod upstream_support;

use cli_support::local_with;
use hall::{FINALE, Hall, PRELUDE, run};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use upstream_support::{NEW, OLD, package, program, pythons};

/// Each release with each interpreter.
fn pairs(test: &str) -> Vec<(PathBuf, PathBuf)> {
    let mut pairs = Vec::new();
    for release in [OLD, NEW] {
        let Some(package) = package(test, release) else { continue };
        pairs.extend(pythons().into_iter().map(|(_, python)| (python, package.clone())));
    }
    pairs
}

/// Some of them, where all would say the same: the oldest and the newest of each.
fn few(test: &str) -> Vec<(PathBuf, PathBuf)> {
    let all = pairs(test);
    let mut few: Vec<(PathBuf, PathBuf)> = Vec::new();
    for (at, pair) in all.iter().enumerate() {
        let is_edge = |other: Option<&(PathBuf, PathBuf)>| other.is_none_or(|other| other.1 != pair.1);
        if is_edge(at.checked_sub(1).map(|before| &all[before])) || is_edge(all.get(at + 1)) {
            few.push(pair.clone());
        }
    }
    few
}

fn two_targets() -> Vec<String> {
    let pythons = pythons();
    let first = pythons.first().map(|(_, python)| local_with(python)).expect("a Python");
    vec!["local".to_owned(), first]
}

#[test]
fn every_release_on_every_interpreter_calls_receives_fetches_and_sees_records() {
    let source = r"
    import guest
    here = contexts[0]
    result['pids'] = len(set(context.call(os.getpid) for context in contexts))
    value = [None, True, 7, 2**70, 1.5, u'text', (1, [2]), {u'k': [u'v']}]
    result['echo'] = here.call(guest.echo, value) == value
    try:
        here.call(os.listdir, u'/nonexistent')
    except mitogen.core.CallError:
        result['raised'] = str(sys.exc_info()[1]).splitlines()[0].split('.')[-1]
    receiver = mitogen.core.Receiver(router)
    for context in contexts:
        context.call(guest.send_all, receiver.to_sender())
    got = []
    closed = 0
    while closed < len(contexts):
        msg = receiver.get(throw_dead=False)
        if msg.is_dead:
            closed += 1
        else:
            got.append(text(msg.unpickle()))
    result['received'] = got
    # More than may be on its way unasked.
    here.call_async(guest.flood, receiver.to_sender(), 40)
    result['flood'] = sum(len(receiver.get().unpickle()) for _ in range(40))
    calls = mitogen.select.Select([context.call_async(os.getpid) for context in contexts])
    result['selected'] = len([msg.unpickle() for msg in calls])
    for size in 0, 131046, 3000000:
        path = os.path.join(os.path.dirname(sys.argv[1]), str(os.getpid()))
        with open(path, 'wb') as fp:
            fp.write(b'x' * size)
        with open(path + '.copy', 'wb') as fp:
            ok, metadata = mitogen.service.FileService.get(controller, path, fp)
        result['file %d' % size] = [ok, os.path.getsize(path + '.copy'), metadata['size']]
    here.call(guest.speak, str(os.getpid()))
    seen = lambda: [record for record in Records.seen if str(os.getpid()) in record[2]]
    until(lambda: len(seen()) == 2)
    result['records'] = sorted([name, level] for name, level, _ in seen())
    chain = mitogen.parent.CallChain(here, pipelined=True)
    chain.call_no_reply(os.listdir, '/nonexistent')
    try:
        chain.call(os.getpid)
    except mitogen.core.CallError:
        result['chain'] = 'stopped'
    result['again'] = here.call(os.getpid) > 0
";
    let pairs = pairs("every_release_on_every_interpreter");
    if pairs.is_empty() {
        return;
    }
    let hall = Hall::open(&two_targets(), &[]);
    for (python, package) in &pairs {
        let result = run(python, &hall.with_guest(package), source, &hall.socket);
        let expected = json!({
            "pids": 2, "echo": true, "raised": "FileNotFoundError: [Errno 2] No such file or directory: '/nonexistent'",
            "received": [1, "two", [3], 1, "two", [3]], "flood": 40 * 100_000, "selected": 2,
            "file 0": [true, 0, 0], "file 131046": [true, 131_046, 131_046], "file 3000000": [true, 3_000_000, 3_000_000],
            "records": [["guest.[local]", 30], ["stdout.[local]", 20]], "chain": "stopped", "again": true,
        });
        assert_eq!(result, expected, "{} with {}", python.display(), package.display());
        let (connected, left) = (hall.line(), hall.line());
        assert_eq!(
            (&connected["event"], &left["event"]),
            (&json!("connected"), &json!("disconnected")),
            "{left}"
        );
        assert_eq!((&connected["client"], &left["reason"]), (&left["client"], &json!("it closed the link")));
    }
    hall.signal(rustix::process::Signal::INT);
    let socket = hall.socket.clone();
    let (status, stderr) = hall.finish();
    assert_eq!(status, 130, "{stderr}");
    assert!(!socket.exists());
    assert!(!stderr.contains("mitogen:"), "{stderr}");
}

#[test]
fn clients_have_contexts_start_others_and_start_some_of_their_own() {
    let source = r"
    for via in [controller] + contexts:
        child = router.local(via=via, name='kid')
        result.setdefault('kids', []).append([child.call(os.getppid) > 0, text(child.name)])
        grandchild = router.local(via=child)
        result['deep'] = grandchild.call(os.getpid) != child.call(os.getpid)
        child.shutdown(wait=True)
        try:
            grandchild.call(os.getpid)
        except mitogen.core.ChannelError:
            result['gone'] = True
    for options in dict(python_path='/nonexistent/python'), dict(nonsense=1):
        for via in controller, contexts[0]:
            try:
                router.local(via=via, **options)
            except mitogen.core.StreamError:
                result.setdefault('refused', []).append(True)
    try:
        controller.call(os.getpid)
    except mitogen.core.CallError:
        result['controller'] = 'is no Python' in str(sys.exc_info()[1])
    if mitogen.__version__ > (0, 3, 30):
        # Its ids are ours, and its routes come up: others reach its child.
        import guest
        router.id_allocator = mitogen.parent.ChildIdAllocator(router)
        router.route_monitor = mitogen.parent.RouteMonitor(router, parent=controller)
        own = router.local()
        result['own'] = own.call(os.getppid) == os.getpid()
        # They may not call each other, and say so themselves.
        result['reached'] = [contexts[0].call(guest.try_to_end, own), own.call(guest.try_to_end, contexts[0])]
";
    let pairs = few("clients_have_contexts_start_others");
    if pairs.is_empty() {
        return;
    }
    let hall = Hall::open(&two_targets(), &[]);
    for (python, package) in &pairs {
        let result = run(python, &hall.with_guest(package), source, &hall.socket);
        let mut expected = json!({
            "kids": [[true, "None.kid"], [true, "local.local.kid"], [true, "local.local.kid"]],
            "deep": true, "gone": true, "refused": [true, true, true, true], "controller": true,
        });
        if result.get("own").is_some() || !package.display().to_string().contains(OLD) {
            expected["own"] = json!(true);
            expected["reached"] = json!(["refused by policy", "refused by policy"]);
        }
        assert_eq!(result, expected, "{} with {}", python.display(), package.display());
    }
    hall.signal(rustix::process::Signal::TERM);
    let socket = hall.socket.clone();
    let (status, stderr) = hall.finish();
    assert_eq!((status, socket.exists()), (130, false), "{stderr}");
}

#[test]
fn a_client_hears_when_a_context_or_the_controller_goes() {
    let source = r"
    receiver = contexts[1].call_async(time.sleep, 600)
    contexts[1].shutdown()
    try:
        receiver.get().unpickle()
    except mitogen.core.ChannelError:
        result['lost'] = True
    result['left'] = len(controller.call_service('mitogen.listen', 'targets'))
    result['named'] = repr(controller.call_service('mitogen.listen', 'context', target=u'local')) == repr(contexts[0])
    waiting = contexts[0].call_async(time.sleep, 600)
    print('waits')
    sys.stdout.flush()
    # The controller goes with the last of its targets.
    contexts[0].shutdown()
    try:
        waiting.get().unpickle()
    except mitogen.core.ChannelError:
        result['closed'] = True
";
    for (python, package) in &few("a_client_hears_when") {
        let hall = Hall::open(&two_targets(), &[]);
        let result = run(python, package, source, &hall.socket);
        assert_eq!(
            result,
            json!({"lost": true, "left": 1, "named": true, "closed": true}),
            "{}",
            python.display()
        );
        let (status, stderr) = hall.finish();
        assert_eq!(status, 4, "{stderr}");
        assert!(stderr.contains("local: lost: "), "{stderr}");
    }
}

#[test]
fn a_target_that_was_lost_is_had_again_by_whoever_asks() {
    let source = r"
    ask = lambda method, **args: controller.call_service('mitogen.listen', method, **args)
    names = [text(target) for target, _ in targets]
    result['unknown'] = ask('context', target=u'nobody')
    before = [context.call(os.getpid) for context in contexts]
    for pid in before:
        os.kill(pid, 9)
    for context in contexts:
        try:
            context.call(os.getpid)
        except mitogen.core.ChannelError:
            result.setdefault('lost', []).append(True)
    first = ask('context', target=names[0])
    after = [first.call(os.getpid)] + [context.call(os.getpid) for _, context in ask('targets')]
    result['same'] = after[0] == after[1]
    result['anew'] = not set(before) & set(after) and len(set(after)) == 2
";
    for (python, package) in &few("a_target_that_was_lost") {
        let hall = Hall::open(&two_targets(), &["--reconnect"]);
        let result = run(python, package, source, &hall.socket);
        let expected = json!({"unknown": null, "lost": [true, true], "same": true, "anew": true});
        assert_eq!(result, expected, "{}", python.display());
        let mut told: Vec<String> =
            (0..6).map(|_| hall.line()["event"].as_str().unwrap_or_default().to_owned()).collect();
        told.sort();
        assert_eq!(told, ["connected", "disconnected", "lost", "lost", "regained", "regained"]);
        hall.signal(rustix::process::Signal::INT);
        assert_eq!(hall.finish().0, 130);
    }
}

#[test]
fn a_client_is_told_why_a_target_is_not_there() {
    let source = r"
    contexts[1].shutdown(wait=True)
    def ask():
        try:
            return controller.call_service('mitogen.listen', 'context', target=targets[1][0])
        except mitogen.core.CallError:
            result['why'] = str(sys.exc_info()[1]).splitlines()[0]
    until(lambda: ask() or 'why' in result)
";
    let Some((python, package)) = few("a_client_is_told_why").pop() else { return };
    let hall = Hall::open(&two_targets(), &[]);
    let result = run(&python, &package, source, &hall.socket);
    let why = result["why"].as_str().unwrap_or_default();
    assert!(why.contains("it was lost") && why.contains("--reconnect"), "{why}");
}

#[test]
fn a_client_that_is_killed_is_only_a_client_less() {
    let Some((python, package)) = few("a_client_that_is_killed").pop() else { return };
    let hall = Hall::open(&["local".to_owned()], &[]);
    let source = format!(
        "{PRELUDE}    contexts[0].call_async(time.sleep, 0)\n    print('here'); sys.stdout.flush(); time.sleep(600){FINALE}"
    );
    let mut child = program(&python, &package, &source, &[hall.socket.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((&hall.line()["event"], &hall.line()["event"]), (&json!("connected"), &json!("disconnected")));
    let result = run(&python, &package, "    result = contexts[0].call(os.getpid) > 0\n", &hall.socket);
    assert_eq!(result, json!(true));
}
