//! Bodies that are text: what is written, what is read, and what is refused.

mod framing;

use framing::carrying;
use mitogen_wire::body::{
    AddRoute, AllocateId, BodyError, Dead, DelRoute, ForwardLog, GetModule, Grant, Shutdown,
};
use mitogen_wire::pickle::MAX_CONTEXT_NAME_CHARS;
use mitogen_wire::{ContextId, Encoding, Handle, Message};
use proptest::prelude::*;

fn text(payload: impl AsRef<[u8]>) -> Message {
    carrying(Encoding::Implied, payload.as_ref().to_vec())
}

fn is_malformed<B: std::fmt::Debug>(read: Result<B, BodyError>) -> bool {
    matches!(read, Err(BodyError::Malformed { .. }))
}

#[test]
fn a_log_record_is_logger_level_and_message() {
    let record = ForwardLog { logger: "stdout".into(), level: 20, message: "one\0two\nthree".into() };
    let (encoding, payload) = record.encode();
    assert_eq!((encoding, &payload[..]), (Encoding::Implied, &b"stdout\x0020\x00one\0two\nthree"[..]));
    assert_eq!(ForwardLog::decode(&text(payload)), Ok(record));
}

#[test]
fn a_log_record_is_read_even_if_it_is_not_utf8() {
    let record = ForwardLog::decode(&text(b"app\x0030\x00caf\xe9")).expect("lenient");
    assert_eq!(record, ForwardLog { logger: "app".into(), level: 30, message: "caf\u{fffd}".into() });
}

#[test]
fn a_log_record_without_its_parts_is_malformed() {
    for payload in ["", "app", "app\x0020", "app\0high\0text", "app\0\0text", "app\x0099999999999\0text"] {
        assert!(is_malformed(ForwardLog::decode(&text(payload))), "{payload:?}");
    }
}

#[test]
fn a_nul_in_a_loggers_name_does_not_move_the_other_fields() {
    let record = ForwardLog { logger: "a\0b".into(), level: 10, message: "m".into() };
    let read = ForwardLog::decode(&text(record.encode().1)).expect("sound");
    assert_eq!((read.logger.as_str(), read.level, read.message.as_str()), ("a\u{fffd}b", 10, "m"));
}

#[test]
fn a_new_route_has_an_id_and_perhaps_a_name() {
    for (payload, id, name) in [
        ("7", 7, None),
        ("7:", 7, Some("")),
        ("1007:ssh.web1:2222", 1007, Some("ssh.web1:2222")),
        ("4294967295:é", u32::MAX, Some("é")),
    ] {
        let route = AddRoute { id: ContextId(id), name: name.map(str::to_owned) };
        assert_eq!(AddRoute::decode(&text(payload)).as_ref(), Ok(&route));
        assert_eq!(route.encode(), (Encoding::Implied, payload.as_bytes().to_vec().into()));
    }
}

#[test]
fn a_routes_name_is_cut_when_written_and_not_when_read() {
    let long = "é".repeat(300);
    let read = AddRoute::decode(&text(format!("7:{long}"))).expect("any length is read");
    assert_eq!(read.name.as_ref(), Some(&long));
    let written = AddRoute::decode(&text(read.encode().1)).expect("sound");
    assert_eq!(written.name, Some("é".repeat(MAX_CONTEXT_NAME_CHARS)));
}

#[test]
fn a_lost_route_is_a_bare_number_when_written() {
    let route = DelRoute { id: ContextId(1007) };
    assert_eq!(route.encode(), (Encoding::Implied, "1007".into()));
    for payload in ["1007", "1007:", "1007:ssh.web1"] {
        assert_eq!(DelRoute::decode(&text(payload)), Ok(route));
    }
}

#[test]
fn a_route_without_an_id_is_malformed() {
    for payload in ["", ":", ":name", "-1", "+1", " 1", "1 ", "1_0", "0x1", "4294967296", "\u{661}"] {
        assert!(is_malformed(AddRoute::decode(&text(payload))), "{payload:?}");
        assert!(is_malformed(DelRoute::decode(&text(payload))), "{payload:?}");
    }
}

#[test]
fn a_grant_is_a_block_and_its_owner() {
    let grant = Grant { first: ContextId(1000), end: ContextId(2000), owner: ContextId(7) };
    assert_eq!(&grant.encode().1[..], b"1000:2000:7");
    assert_eq!(Grant::decode(&text("1000:2000:7")), Ok(grant));
    for payload in ["", "1", "1:2", "1:2:", "1:2:3:4", "2:1:3", "-1:2:3", "1:2:4294967296", "a:b:c", "1 :2:3"]
    {
        assert!(is_malformed(Grant::decode(&text(payload))), "{payload:?}");
    }
}

#[test]
fn a_module_is_asked_for_by_its_name() {
    let request = GetModule { name: "os.path".into() };
    assert_eq!(request.encode(), (Encoding::Implied, "os.path".into()));
    assert_eq!(GetModule::decode(&text("os.path")), Ok(request));
    assert!(is_malformed(GetModule::decode(&text(""))));
    assert!(is_malformed(GetModule::decode(&text(b"\xff"))));
}

#[test]
fn empty_bodies_are_empty() {
    assert_eq!(Shutdown.encode(), (Encoding::Implied, "".into()));
    assert_eq!(AllocateId.encode(), (Encoding::Implied, "".into()));
    assert_eq!(Shutdown::decode(&text("")), Ok(Shutdown));
    assert_eq!(AllocateId::decode(&text("ignored")), Ok(AllocateId));
}

#[test]
fn a_dead_message_has_no_body_whatever_its_payload() {
    let dead = Message::dead(ContextId(7), ContextId(0), Handle(1000), "7:name");
    let error = || BodyError::Dead(Dead::Other("7:name".into()));
    assert_eq!(AddRoute::decode(&dead), Err(error()));
    assert_eq!(DelRoute::decode(&dead), Err(error()));
    assert_eq!(GetModule::decode(&dead), Err(error()));
    assert_eq!(ForwardLog::decode(&dead), Err(error()));
    assert_eq!(Shutdown::decode(&dead), Err(error()));
    assert_eq!(AllocateId::decode(&dead), Err(error()));
    assert_eq!(error().to_string(), "7:name");
}

proptest! {
    #[test]
    fn log_records_round_trip(logger in "[^\0]*", level: i32, message: String) {
        let record = ForwardLog { logger, level, message };
        prop_assert_eq!(ForwardLog::decode(&text(record.encode().1)), Ok(record));
    }

    #[test]
    fn routes_round_trip(id: u32, name in proptest::option::of(".{0,99}")) {
        let route = AddRoute { id: ContextId(id), name };
        prop_assert_eq!(AddRoute::decode(&text(route.encode().1)), Ok(route));
    }
}
