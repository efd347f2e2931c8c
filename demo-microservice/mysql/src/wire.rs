//! Integers and strings as the protocol writes them (MySQL protocol, "Protocol Basics").

use crate::error::{Error, Result};

/// A payload being read from front to back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(Error::Protocol("a packet ends early".into()))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(Error::Protocol("a packet ends early".into()))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A length-encoded integer.
    pub(crate) fn lenenc(&mut self) -> Result<u64> {
        match self.u8()? {
            0xfc => self.u16().map(u64::from),
            0xfd => self
                .array()
                .map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
            0xfe => self.array().map(u64::from_le_bytes),
            byte @ (0xfb | 0xff) => Err(Error::protocol(format!("0x{byte:02x} is no length"))),
            byte => Ok(u64::from(byte)),
        }
    }

    /// A length-encoded string.
    pub(crate) fn lenenc_bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.lenenc()?;
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The bytes before the next NUL, which is passed over, or all that is left.
    pub(crate) fn until_nul(&mut self) -> &'a [u8] {
        let mut parts = self.rest.splitn(2, |&byte| byte == 0);
        let taken = parts.next().unwrap_or_default();
        self.rest = parts.next().unwrap_or_default();
        taken
    }
}

/// Appends a length-encoded integer.
pub(crate) fn put_lenenc(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    match value {
        0..0xfb => out.push(bytes[0]),
        0xfb..0x1_0000 => {
            out.push(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..0x100_0000 => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Appends a length-encoded string.
pub(crate) fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn length_encoded_integers_round_trip(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.lenenc().unwrap(), value);
            prop_assert!(reader.rest().is_empty());
        }

        #[test]
        fn length_encoded_strings_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut out = Vec::new();
            put_lenenc_bytes(&mut out, &bytes);
            for cut in 0..out.len() {
                prop_assert!(Reader::new(&out[..cut]).lenenc_bytes().is_err());
            }
            prop_assert_eq!(Reader::new(&out).lenenc_bytes().unwrap(), &bytes[..]);
        }
    }

    #[test]
    fn the_borders_use_the_shortest_form() {
        for (value, length) in [
            (250, 1),
            (251, 3),
            (65_535, 3),
            (65_536, 4),
            (0xff_ffff, 4),
            (0x100_0000, 9),
        ] {
            let mut out = Vec::new();
            put_lenenc(&mut out, value);
            assert_eq!(out.len(), length, "{value}");
        }
    }

    #[test]
    fn a_string_ends_at_nul_or_at_the_end() {
        let mut reader = Reader::new(b"one\0two");
        assert_eq!(reader.until_nul(), b"one");
        assert_eq!(reader.until_nul(), b"two");
        assert_eq!(reader.until_nul(), b"");
    }
}
