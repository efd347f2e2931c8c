//! RSA encryption with a public key: what `caching_sha2_password` needs, and no more.
//!
//! Nothing here handles a private key, so nothing needs to run in constant time.

use crate::error::{Error, Result};
use sha1::{Digest, Sha1};
use std::cmp::Ordering;

const HASH: usize = 20;

/// An RSA public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    modulus: Number,
    exponent: Vec<u8>,
    length: usize,
}

impl PublicKey {
    /// Reads a PEM text with a `SubjectPublicKeyInfo` (RFC 5280) around an `RSAPublicKey` (RFC 8017).
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self> {
        Self::parse(pem).ok_or_else(|| Error::Auth("the server's RSA key is not readable".into()))
    }

    fn parse(pem: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(pem).ok()?;
        let (_, body) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
        let (body, _) = body.split_once("-----END PUBLIC KEY-----")?;
        let der = from_base64(body)?;
        let (info, _) = der_value(&der, 0x30)?;
        let (_algorithm, info) = der_value(info, 0x30)?;
        let (bits, _) = der_value(info, 0x03)?;
        let (key, _) = der_value(bits.strip_prefix(&[0])?, 0x30)?;
        let (modulus, key) = der_value(key, 0x02)?;
        let (exponent, _) = der_value(key, 0x02)?;
        let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
        let modulus = &modulus[zeros..];
        // OAEP's frame alone is 42 bytes; no server has keys of over 16384 bits.
        if !(64..=2048).contains(&modulus.len()) || exponent.len() > 8 {
            return None;
        }
        Some(Self {
            length: modulus.len(),
            modulus: Number::from_bytes(modulus, modulus.len()),
            exponent: exponent.to_vec(),
        })
    }

    /// Encrypts by RSAES-OAEP with SHA-1 and an empty label (RFC 8017 section 7.1.1).
    ///
    /// `seed` must be fresh random bytes.
    pub(crate) fn encrypt(&self, message: &[u8], seed: [u8; HASH]) -> Result<Vec<u8>> {
        let room = self.length - 2 * HASH - 2;
        if message.len() > room {
            return Err(Error::Auth(
                "the password is too long for the server's RSA key".into(),
            ));
        }
        let mut data = vec![0; self.length - HASH - 1];
        data[..HASH].copy_from_slice(&Sha1::digest(b""));
        let at = data.len() - message.len();
        data[at - 1] = 1;
        data[at..].copy_from_slice(message);
        mask(&mut data, &seed);
        let mut masked_seed = seed;
        mask(&mut masked_seed, &data);
        let block = [&[0], &masked_seed[..], &data].concat();
        Ok(power(
            &Number::from_bytes(&block, self.length),
            &self.exponent,
            &self.modulus,
        )
        .to_bytes(self.length))
    }
}

/// MGF1 (RFC 8017 appendix B.2.1) of `seed`, added to `data`.
fn mask(data: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(data.chunks_mut(HASH)) {
        let hash = Sha1::new()
            .chain_update(seed)
            .chain_update(counter.to_be_bytes())
            .finalize();
        for (byte, mask) in chunk.iter_mut().zip(hash) {
            *byte ^= mask;
        }
    }
}

/// A number of fixed length, least significant word first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number(Vec<u32>);

impl Number {
    fn from_bytes(bytes: &[u8], length: usize) -> Self {
        let mut words = vec![0; length.div_ceil(4)];
        for (i, &byte) in bytes.iter().rev().enumerate() {
            words[i / 4] |= u32::from(byte) << (8 * (i % 4));
        }
        Self(words)
    }

    fn to_bytes(&self, length: usize) -> Vec<u8> {
        let byte = |i: usize| self.0[i / 4].to_le_bytes()[i % 4];
        (0..length).rev().map(byte).collect()
    }

    /// Takes `modulus` away once if the number, with `carry` above its highest word, reaches it.
    fn reduce(&mut self, carry: bool, modulus: &Self) {
        if !carry && self.0.iter().rev().cmp(modulus.0.iter().rev()) == Ordering::Less {
            return;
        }
        let mut borrow = false;
        for (word, &other) in self.0.iter_mut().zip(&modulus.0) {
            let (difference, under) = word.overflowing_sub(other);
            let (difference, under_again) = difference.overflowing_sub(u32::from(borrow));
            *word = difference;
            borrow = under || under_again;
        }
    }

    fn add(&mut self, other: &Self, modulus: &Self) {
        let mut carry = false;
        for (word, &other) in self.0.iter_mut().zip(&other.0) {
            let (sum, over) = word.overflowing_add(other);
            let (sum, over_again) = sum.overflowing_add(u32::from(carry));
            *word = sum;
            carry = over || over_again;
        }
        self.reduce(carry, modulus);
    }

    fn double(&mut self, modulus: &Self) {
        let mut carry = 0;
        for word in &mut self.0 {
            let next = *word >> 31;
            *word = *word << 1 | carry;
            carry = next;
        }
        self.reduce(carry == 1, modulus);
    }
}

/// `a * b` by doubling and adding; both must be below `modulus`.
fn product(a: &Number, b: &Number, modulus: &Number) -> Number {
    let mut result = Number(vec![0; modulus.0.len()]);
    for word in a.0.iter().rev() {
        for bit in (0..32).rev() {
            result.double(modulus);
            if word >> bit & 1 == 1 {
                result.add(b, modulus);
            }
        }
    }
    result
}

/// `base` to the power of `exponent` (most significant byte first).
fn power(base: &Number, exponent: &[u8], modulus: &Number) -> Number {
    let mut result: Option<Number> = None;
    for byte in exponent {
        for bit in (0..8).rev() {
            result = result.map(|number| product(&number, &number, modulus));
            if byte >> bit & 1 == 1 {
                result = Some(match result {
                    Some(number) => product(&number, base, modulus),
                    None => base.clone(),
                });
            }
        }
    }
    result.unwrap_or_else(|| Number::from_bytes(&[1], modulus.0.len() * 4))
}

/// The contents of one DER value with this tag, and what follows it.
fn der_value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 3 {
            return None;
        }
        (
            digits
                .iter()
                .fold(0, |length, &digit| length << 8 | usize::from(digit)),
            rest,
        )
    };
    rest.split_at_checked(length)
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for c in text
        .bytes()
        .filter(|c| !c.is_ascii_whitespace() && *c != b'=')
    {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[path = "rsa_tests.rs"]
mod tests;
