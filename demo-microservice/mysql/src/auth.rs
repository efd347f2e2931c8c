//! Proving that the password is known: the plugins' hashes.

use crate::{
    error::{Error, Result},
    rsa::PublicKey,
};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// How a server wants the password proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// `mysql_native_password`: SHA-1, what MariaDB asks for.
    Native,
    /// `caching_sha2_password`: SHA-256, what MySQL asks for.
    CachingSha2,
}

impl Plugin {
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        [Self::Native, Self::CachingSha2]
            .into_iter()
            .find(|plugin| plugin.name().as_bytes() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
        }
    }

    /// The first answer to the server's random `nonce`; empty for an empty password.
    pub(crate) fn response(self, password: &[u8], nonce: &[u8]) -> Vec<u8> {
        if password.is_empty() {
            return Vec::new();
        }
        match self {
            Self::Native => {
                let once = Sha1::digest(password);
                let proof = Sha1::new()
                    .chain_update(nonce)
                    .chain_update(Sha1::digest(once))
                    .finalize();
                once.iter().zip(proof).map(|(a, b)| a ^ b).collect()
            }
            Self::CachingSha2 => {
                let once = Sha256::digest(password);
                let twice = Sha256::digest(once);
                let proof = Sha256::new()
                    .chain_update(twice)
                    .chain_update(nonce)
                    .finalize();
                once.iter().zip(proof).map(|(a, b)| a ^ b).collect()
            }
        }
    }
}

/// The password itself, for a server that has its hash not cached: readable only with the key.
pub(crate) fn encrypted_password(password: &[u8], nonce: &[u8], pem: &[u8]) -> Result<Vec<u8>> {
    let key = PublicKey::from_pem(pem)?;
    let text = password.iter().chain(&[0]);
    let hidden: Vec<u8> = text.zip(nonce.iter().cycle()).map(|(a, b)| a ^ b).collect();
    let mut seed = [0; 20];
    getrandom::fill(&mut seed)
        .map_err(|error| Error::Auth(format!("no random numbers: {error}").into()))?;
    key.encrypt(&hidden, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Python: bytes(a ^ b for a, b in zip(s(p), s(nonce + s(s(p))))) with s = SHA-1, and
    // s(s(s(p)) + nonce) with s = SHA-256.
    const NONCE: &[u8] = b"0123456789abcdefghij";

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .concat()
    }

    #[test]
    fn the_native_response() {
        let response = Plugin::Native.response(b"whalehello", NONCE);
        assert_eq!(hex(&response), "a1bd3db3d8ac7fe4e0d60a0a22eb74283cd9d3fb");
    }

    #[test]
    fn the_sha2_response() {
        let response = Plugin::CachingSha2.response(b"whalehello", NONCE);
        assert_eq!(
            hex(&response),
            "1fbf83868d8b1cc1601277141005f3ef0c653a1fc2f96b4b651dc98ec047e77e"
        );
    }

    #[test]
    fn an_empty_password_is_proved_by_nothing() {
        assert!(Plugin::Native.response(b"", NONCE).is_empty());
        assert!(Plugin::CachingSha2.response(b"", NONCE).is_empty());
    }

    #[test]
    fn plugins_are_known_by_name() {
        assert_eq!(
            Plugin::named(b"caching_sha2_password"),
            Some(Plugin::CachingSha2)
        );
        assert_eq!(Plugin::named(b"mysql_old_password"), None);
    }
}
