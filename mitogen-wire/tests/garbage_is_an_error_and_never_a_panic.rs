//! The reader survives arbitrary bytes, arbitrary opcodes and pickles with a few bytes changed.

mod common;

use mitogen_wire::pickle::{self, Limits};
use proptest::collection::vec;
use proptest::prelude::*;

const OPCODES: &[u8] = b"().BCGIJKMNRTUX]acehjqrstu}\x80\x85\x86\x87\x88\x89\x8a\x8b";

fn opcode() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => proptest::sample::select(OPCODES).prop_map(|b| vec![b]),
        4 => (0..4_u8).prop_map(|i| vec![b'q', i]),
        6 => (0..4_u8).prop_map(|i| vec![b'h', i]),
        4 => any::<u8>().prop_map(|n| vec![b'K', n]),
        3 => Just(b"X\x01\x00\x00\x00a".to_vec()),
        2 => Just(b"U\x01a".to_vec()),
        1 => Just(b"cmitogen.core\nKwargs\n".to_vec()),
        1 => Just(b"cmitogen.core\nBlob\n".to_vec()),
        1 => Just(b"cmitogen.core\n_unpickle_context\n".to_vec()),
        1 => Just(b"c_codecs\nencode\n".to_vec()),
        2 => Just(b"]q\x00h\x00a".to_vec()),
        1 => any::<u8>().prop_map(|b| vec![b]),
    ]
}

fn all_ways(data: &[u8]) {
    let limits = Limits::default();
    let _ = pickle::read(data, &limits);
    if let Ok(values) = pickle::read_many(data, &limits) {
        for value in values {
            // Whatever was read can be shown, and written unless it is a name that was taken apart.
            let _ = format!("{value:?}");
            if let Ok(written) = pickle::write(&value) {
                assert!(pickle::read(&written, &limits).is_ok());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes(data in vec(any::<u8>(), 0..200)) {
        all_ways(&data);
    }

    #[test]
    fn opcodes(parts in vec(opcode(), 0..60)) {
        let mut data = parts.concat();
        data.push(b'.');
        all_ways(&data);
    }

    #[test]
    fn a_changed_pickle(value in common::value(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut data = pickle::write(&value).unwrap().to_vec();
        for (index, byte) in changes {
            let at = index.index(data.len());
            data[at] = byte;
        }
        all_ways(&data);
    }

    #[test]
    fn a_pickle_cut_off_anywhere_is_an_error(value in common::value(), cut in any::<prop::sample::Index>()) {
        let data = pickle::write(&value).unwrap();
        prop_assert!(pickle::read(&data[..cut.index(data.len())], &Limits::default()).is_err());
    }
}
