//! `BigInt`: conversions, decimal text and its cap.

use mitogen_wire::{BigInt, Value};
use proptest::prelude::*;

fn shown(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Long(n) => n.to_string(),
        other => panic!("{other:?} is no integer"),
    }
}

proptest! {
    #[test]
    fn like_i128(n in any::<i128>()) {
        let value = Value::from(n);
        prop_assert_eq!(value.as_i128(), Some(n));
        prop_assert_eq!(shown(&value), n.to_string());
        prop_assert_eq!(BigInt::parse_value(&n.to_string()), Ok(value));
        prop_assert_eq!(BigInt::value_of_le_bytes(&n.to_le_bytes()).as_i128(), Some(n));
    }

    #[test]
    fn like_u128(n in any::<u128>()) {
        let value = Value::from(n);
        prop_assert_eq!(shown(&value), n.to_string());
        if let Value::Long(big) = &value {
            prop_assert_eq!(big.to_u128(), Some(n));
        }
        prop_assert_eq!(BigInt::parse_value(&n.to_string()), Ok(value));
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let value = BigInt::value_of_le_bytes(&bytes);
        prop_assert_eq!(BigInt::parse_value(&shown(&value)), Ok(value));
    }

    #[test]
    fn any_digits(text in "-?[1-9][0-9]{0,400}") {
        prop_assert_eq!(shown(&BigInt::parse_value(&text).unwrap()), text);
    }
}

#[test]
fn powers_of_two_and_their_neighbours() {
    // 2**n in decimal, by doubling digits.
    let mut digits = vec![1_u8];
    for n in 0..300 {
        let text: String = digits.iter().rev().map(|d| char::from(b'0' + d)).collect();
        for text in [text.clone(), format!("-{text}")] {
            let value = BigInt::parse_value(&text).unwrap();
            assert_eq!(shown(&value), text, "2**{n}");
            if let Value::Long(big) = &value {
                assert_eq!(BigInt::value_of_le_bytes(big.as_le_bytes()), value);
                assert!(n >= 63);
            }
        }
        let mut carry = 0;
        for digit in &mut digits {
            let twice = *digit * 2 + carry;
            (*digit, carry) = (twice % 10, twice / 10);
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
}

#[test]
fn integers_that_fit_64_bits_are_never_big() {
    for n in [i64::MIN, -1, 0, 1, i64::MAX] {
        assert_eq!(BigInt::value_of_le_bytes(&i128::from(n).to_le_bytes()), Value::Int(n));
        assert!(n.to_string().parse::<BigInt>().is_err());
    }
    assert!("9223372036854775808".parse::<BigInt>().is_ok());
    assert!("-9223372036854775809".parse::<BigInt>().is_ok());
}

#[test]
fn beyond_twenty_thousand_digits_it_is_hexadecimal() {
    let decimal = "7".repeat(19_900);
    assert_eq!(shown(&BigInt::parse_value(&decimal).unwrap()), decimal);
    assert!(BigInt::parse_value(&"7".repeat(20_001)).is_err());
    let mut bytes = vec![0; 20_000];
    bytes.push(0x12);
    let Value::Long(n) = BigInt::value_of_le_bytes(&bytes) else { panic!() };
    assert_eq!(n.to_string(), format!("0x12{}", "00".repeat(20_000)));
    for text in ["", "-", "1.0", "0x10", " 1", "1_000", "١"] {
        assert!(BigInt::parse_value(text).is_err(), "{text:?}");
    }
}
