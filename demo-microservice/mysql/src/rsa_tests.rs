use super::*;
use proptest::prelude::*;
use sha2::Sha256;

// Made with Python's `cryptography`: a key, and the SHA-256 of what encrypting MESSAGE with SEED
// under it gives; the private key decrypted that to MESSAGE before it was thrown away.
const MESSAGE: &[u8] = b"whalehello\0";
const SEED: [u8; 20] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
];
const EVEN_KEY: &str = include_str!("../tests/key.pem");
const EVEN_HASH: &str = "7516613c8817c2163e6f87f46b34b9b6d9d2b24b9606efb41d023616c2e491ff";
const ODD_KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgWC4eZ65vsLU6kQCtr5tuhIBy3lF\n\
6IFDfb9qBFlzlWtwhRnNbUxzLv7d1YZ2AL14HXt7q6hUbpN4+xNjYY/RVeh887yX\n\
vQaFervAE3tdwm/yDugsWoMilG4TSJivbXKEpgtpkBDFAXoocPJc+b5C4eNFcVk4\n\
eMQarwXrEvHUHf02mQIDAQAB\n\
-----END PUBLIC KEY-----\n";
const ODD_HASH: &str = "dd1590302e03671fb81c4c35a644109046befeba479779fa223632f54578ea88";

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn another_implementation_decrypts_what_is_encrypted() {
    for (key, hash) in [(EVEN_KEY, EVEN_HASH), (ODD_KEY, ODD_HASH)] {
        let key = PublicKey::from_pem(key.as_bytes()).unwrap();
        let encrypted = key.encrypt(MESSAGE, SEED).unwrap();
        assert_eq!(hex(&Sha256::digest(encrypted)), hash);
    }
}

#[test]
fn a_message_over_the_keys_room_is_refused() {
    let key = PublicKey::from_pem(EVEN_KEY.as_bytes()).unwrap();
    assert_eq!(key.encrypt(&[7; 214], SEED).unwrap().len(), 256);
    assert!(matches!(key.encrypt(&[7; 215], SEED), Err(Error::Auth(_))));
}

#[test]
fn a_damaged_key_is_refused() {
    for cut in (0..EVEN_KEY.len() - 2).step_by(7) {
        assert!(
            PublicKey::from_pem(&EVEN_KEY.as_bytes()[..cut]).is_err(),
            "{cut}"
        );
    }
    let damaged = EVEN_KEY.replacen("MIIB", "MIIC", 1);
    assert!(PublicKey::from_pem(damaged.as_bytes()).is_err());
    assert!(PublicKey::from_pem(b"\xff\xfe").is_err());
}

fn number(value: u128, words: usize) -> Number {
    Number::from_bytes(&value.to_be_bytes()[16 - words * 4..], words * 4)
}

fn value(number: &Number) -> u128 {
    number
        .0
        .iter()
        .rev()
        .fold(0, |value, &word| value << 32 | u128::from(word))
}

proptest! {
    #[test]
    fn products_are_those_of_wide_integers(a in any::<u64>(), b in any::<u64>(), modulus in 2..u64::MAX) {
        let (a, b) = (u128::from(a % modulus), u128::from(b % modulus));
        let modulus = u128::from(modulus);
        let result = product(&number(a, 2), &number(b, 2), &number(modulus, 2));
        prop_assert_eq!(value(&result), a * b % modulus);
    }

    #[test]
    fn powers_are_those_of_wide_integers(base in any::<u64>(), exponent in any::<u32>(), modulus in 2..u64::MAX) {
        let modulus = u128::from(modulus);
        let base = u128::from(base) % modulus;
        let mut expected = 1;
        for bit in (0..32).rev() {
            expected = expected * expected % modulus;
            if exponent >> bit & 1 == 1 {
                expected = expected * base % modulus;
            }
        }
        let result = power(&number(base, 2), &exponent.to_be_bytes(), &number(modulus, 2));
        prop_assert_eq!(value(&result), expected % modulus);
    }

    #[test]
    fn garbage_is_no_key(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let base64: String = bytes.iter().map(|byte| char::from(b'A' + byte % 26)).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----{base64}-----END PUBLIC KEY-----");
        let _ = PublicKey::from_pem(pem.as_bytes());
    }
}
