//! Integers outside 64 bits: kept as Python's LONG opcodes write them, printed and read in decimal.
//!
//! No arithmetic: they come from one Python and go to another, a person, or an `i128`.

use super::Value;
use std::fmt;
use std::str::FromStr;

/// As many decimal digits as [`BigInt`]'s `Display` and `FromStr` handle; both take time that grows
/// with the square of the digits. Longer ones are printed in hexadecimal and not parsed.
const MAX_DIGITS: usize = 20_000;

/// Ten to this power is the largest that fits a limb.
const DIGITS_PER_LIMB: usize = 19;
const LIMB_BASE: u64 = 10_u64.pow(DIGITS_PER_LIMB as u32);

/// An integer that does not fit an `i64`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BigInt {
    /// Two's complement, little endian, shortest form; 8 bytes and the sign at least.
    bytes: Vec<u8>,
}

impl BigInt {
    /// The integer written in two's complement, little endian, as any length of bytes: [`Value::Int`]
    /// if it fits one, [`Value::Long`] otherwise. No bytes are zero.
    #[must_use]
    pub fn value_of_le_bytes(bytes: &[u8]) -> Value {
        let bytes = shortest(bytes);
        if bytes.len() <= 8 {
            let fill = if bytes.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
            let mut whole = [fill; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(whole))
        } else {
            Value::Long(BigInt { bytes: bytes.to_vec() })
        }
    }

    /// The integer in two's complement, little endian, in its shortest form.
    #[must_use]
    pub fn as_le_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.bytes.last().is_some_and(|top| top & 0x80 != 0)
    }

    /// The integer, if it fits.
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        if self.bytes.len() > 16 {
            return None;
        }
        let mut whole = [if self.is_negative() { 0xff } else { 0 }; 16];
        whole[..self.bytes.len()].copy_from_slice(&self.bytes);
        Some(i128::from_le_bytes(whole))
    }

    /// The integer, if it fits.
    #[must_use]
    pub fn to_u128(&self) -> Option<u128> {
        // 2**127 and above carry a seventeenth byte for the sign.
        if self.is_negative() || self.bytes.len() > 17 || (self.bytes.len() == 17 && self.bytes[16] != 0) {
            return None;
        }
        let mut whole = [0; 16];
        let n = self.bytes.len().min(16);
        whole[..n].copy_from_slice(&self.bytes[..n]);
        Some(u128::from_le_bytes(whole))
    }

    /// The absolute value, as 64-bit limbs, least significant first, without leading zeros.
    fn magnitude(&self) -> Vec<u64> {
        let negative = self.is_negative();
        let mut carry = negative;
        let mut limbs = Vec::with_capacity(self.bytes.len() / 8 + 1);
        for chunk in self.bytes.chunks(8) {
            let mut whole = [if negative { 0xff } else { 0 }; 8];
            whole[..chunk.len()].copy_from_slice(chunk);
            let mut limb = u64::from_le_bytes(whole);
            if negative {
                (limb, carry) = (!limb).overflowing_add(u64::from(carry));
            }
            limbs.push(limb);
        }
        // The magnitude of the least number of a length needs one bit more than its bytes have.
        if carry {
            limbs.push(1);
        }
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        limbs
    }

    /// The integer of a sign and limbs, least significant first.
    fn value_of_magnitude(negative: bool, limbs: &[u64]) -> Value {
        let mut bytes = Vec::with_capacity(limbs.len() * 8 + 1);
        let mut carry = negative;
        for &limb in limbs {
            let mut limb = limb;
            if negative {
                (limb, carry) = (!limb).overflowing_add(u64::from(carry));
            }
            bytes.extend_from_slice(&limb.to_le_bytes());
        }
        bytes.push(if negative && !carry { 0xff } else { 0 });
        BigInt::value_of_le_bytes(&bytes)
    }

    /// The integer that a decimal text names: optional sign, then 1 to 20,000 digits.
    ///
    /// # Errors
    /// The text is anything else.
    pub fn parse_value(text: &str) -> Result<Value, ParseBigIntError> {
        let (negative, digits) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
            return Err(ParseBigIntError(()));
        }
        let mut limbs: Vec<u64> = Vec::with_capacity(digits.len() / DIGITS_PER_LIMB + 1);
        for group in digits.chunks(DIGITS_PER_LIMB) {
            let scale = 10_u128.pow(group.len() as u32);
            let mut carry = group.iter().fold(0_u128, |n, d| n * 10 + u128::from(d - b'0'));
            for limb in &mut limbs {
                let n = u128::from(*limb) * scale + carry;
                (*limb, carry) = (n as u64, n >> 64);
            }
            if carry != 0 {
                limbs.push(carry as u64);
            }
        }
        Ok(BigInt::value_of_magnitude(negative, &limbs))
    }
}

/// Without the bytes at the top that only repeat the sign.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., top] = bytes {
        let sign_below = rest.last().is_some_and(|below| below & 0x80 != 0);
        let redundant = match top {
            0x00 => !sign_below,
            0xff => sign_below,
            _ => false,
        };
        if !redundant {
            break;
        }
        bytes = rest;
    }
    bytes
}

impl fmt::Display for BigInt {
    /// In decimal; in hexadecimal (`-0x..`) beyond 20,000 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.magnitude();
        // log10(256) < 2.41: the digits are at most this many.
        if self.bytes.len() * 241 / 100 > MAX_DIGITS {
            let mut text = String::with_capacity(limbs.len() * 16 + 2);
            text.push_str("0x");
            for (i, limb) in limbs.iter().rev().enumerate() {
                use fmt::Write as _;
                if i == 0 { write!(text, "{limb:x}")? } else { write!(text, "{limb:016x}")? }
            }
            return f.pad_integral(!self.is_negative(), "", &text);
        }
        // Groups of 19 digits, least significant first.
        let mut groups = Vec::with_capacity(limbs.len() * 64 / 63 + 1);
        while !limbs.is_empty() {
            let mut rest = 0_u64;
            for limb in limbs.iter_mut().rev() {
                let n = (u128::from(rest) << 64) | u128::from(*limb);
                *limb = (n / u128::from(LIMB_BASE)) as u64;
                rest = (n % u128::from(LIMB_BASE)) as u64;
            }
            groups.push(rest);
            while limbs.last() == Some(&0) {
                limbs.pop();
            }
        }
        let mut text = String::with_capacity(groups.len() * DIGITS_PER_LIMB);
        for (i, group) in groups.iter().rev().enumerate() {
            use fmt::Write as _;
            if i == 0 { write!(text, "{group}")? } else { write!(text, "{group:019}")? }
        }
        f.pad_integral(!self.is_negative(), "", &text)
    }
}

impl fmt::Debug for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BigInt({self})")
    }
}

impl FromStr for BigInt {
    type Err = ParseBigIntError;

    /// Like [`BigInt::parse_value`], and refuses what fits an `i64`.
    fn from_str(text: &str) -> Result<BigInt, ParseBigIntError> {
        match BigInt::parse_value(text)? {
            Value::Long(n) => Ok(n),
            _ => Err(ParseBigIntError(())),
        }
    }
}

/// A text that is no decimal integer of at most 20,000 digits, or one that fits an `i64`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal integer of at most 20000 digits, or not one outside 64 bits")]
pub struct ParseBigIntError(());
