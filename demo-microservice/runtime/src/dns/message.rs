//! DNS messages (RFC 1035 section 4): the question that is sent and the
//! addresses in its answer.

use std::net::IpAddr;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const FLAG_RESPONSE: u8 = 0x80;
const FLAG_TRUNCATED: u8 = 0x02;
const FLAG_RECURSION: u8 = 0x01;
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;

/// A name in the form of a message: labels with their lengths, then 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(Vec<u8>);

impl Name {
    /// None if it can't be a name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > MAX_NAME || !name.is_ascii() {
            return None;
        }
        let mut bytes = Vec::with_capacity(name.len() + 2);
        for label in name.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL {
                return None;
            }
            bytes.extend(u8::try_from(label.len()));
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        Some(Self(bytes))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordType {
    A,
    Aaaa,
}

impl RecordType {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Self::A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            Self::Aaaa => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        }
    }
}

/// A question with its bytes.
#[derive(Debug)]
pub(super) struct Query {
    kind: RecordType,
    bytes: Vec<u8>,
}

/// How the server judged the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Found,
    NoName,
    Refused(u8),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    pub(super) truncated: bool,
    pub(super) addresses: Vec<IpAddr>,
}

impl Query {
    pub(super) fn new(id: u16, name: &Name, kind: RecordType) -> Self {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([FLAG_RECURSION, 0]);
        // One question; no answer, authority or additional records.
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&name.0);
        bytes.extend(kind.number().to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        Self { kind, bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads an answer; None if it is not one to this question, or broken.
    pub(super) fn answer(&self, message: &[u8]) -> Option<Answer> {
        let header = message.get(..HEADER)?;
        let question = message.get(HEADER..self.bytes.len())?;
        let same = header[..2] == self.bytes[..2]
            && header[2] & FLAG_RESPONSE != 0
            && header[4..6] == [0, 1]
            && question.eq_ignore_ascii_case(&self.bytes[HEADER..]);
        if !same {
            return None;
        }
        let verdict = match header[3] & 0x0f {
            0 => Verdict::Found,
            3 => Verdict::NoName,
            code => Verdict::Refused(code),
        };
        let truncated = header[2] & FLAG_TRUNCATED != 0;
        let mut rest = &message[self.bytes.len()..];
        let mut addresses = Vec::new();
        for _ in 0..u16::from_be_bytes([header[6], header[7]]) {
            match record(&mut rest) {
                // The server follows aliases, so that every address here is the name's.
                Some((kind, data)) if kind == self.kind.number() => {
                    addresses.extend(self.kind.address(data));
                }
                Some(_) => {}
                None if truncated => break,
                None => return None,
            }
        }
        Some(Answer {
            verdict,
            truncated,
            addresses,
        })
    }
}

/// Takes one resource record off the front: its type, if of class IN (else 0),
/// and its data.
fn record<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    skip_name(rest)?;
    let fixed = take(rest, 10)?;
    let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
    let class = u16::from_be_bytes([fixed[2], fixed[3]]);
    let data = take(rest, usize::from(u16::from_be_bytes([fixed[8], fixed[9]])))?;
    Some((if class == CLASS_IN { kind } else { 0 }, data))
}

fn skip_name(rest: &mut &[u8]) -> Option<()> {
    loop {
        let len = take(rest, 1)?[0];
        match len {
            0 => return Some(()),
            1..=63 => {
                take(rest, usize::from(len))?;
            }
            // A pointer to the rest of the name ends it.
            192.. => {
                take(rest, 1)?;
                return Some(());
            }
            _ => return None,
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::{Name, Query, RecordType, Verdict};

    fn query() -> Query {
        Query::new(0x1234, &Name::parse("db.example.").unwrap(), RecordType::A)
    }

    /// An alias and two addresses, as a server would send them.
    fn message() -> Vec<u8> {
        let mut message = query().bytes().to_vec();
        message[2] = 0x81;
        message[3] = 0x80;
        message[7] = 3;
        let alias = [
            0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 6, 3, b'o', b'n', b'e', 0xc0, 12,
        ];
        message.extend(alias);
        for last in [1, 2] {
            let name = [3, b'o', b'n', b'e', 0xc0, 12];
            message.extend(name);
            message.extend([0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, last]);
        }
        message
    }

    #[test]
    fn a_question_has_the_form_of_rfc_1035() {
        let header = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let question = b"\x02db\x07example\x00\x00\x01\x00\x01";
        assert_eq!(query().bytes(), [&header[..], question].concat());
    }

    #[test]
    fn addresses_behind_an_alias_are_the_names() {
        let answer = query().answer(&message()).unwrap();
        assert_eq!(answer.verdict, Verdict::Found);
        let addresses = [[10, 0, 0, 1], [10, 0, 0, 2]].map(std::net::IpAddr::from);
        assert_eq!(answer.addresses, addresses);
    }

    #[test]
    fn letters_case_may_differ() {
        let mut shouted = message();
        shouted[13] = b'D';
        assert!(query().answer(&shouted).is_some());
    }

    #[test]
    fn a_message_cut_anywhere_is_no_answer() {
        let whole = message();
        for len in 0..whole.len() {
            assert_eq!(query().answer(&whole[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_cut_message_that_says_so_gives_what_is_there() {
        let mut whole = message();
        whole[2] |= super::FLAG_TRUNCATED;
        let answer = query().answer(&whole[..whole.len() - 1]).unwrap();
        assert!(answer.truncated);
        assert_eq!(answer.addresses.len(), 1);
    }

    #[test]
    fn no_byte_in_any_place_does_harm() {
        let whole = message();
        for place in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[place] = byte;
                if let Some(answer) = query().answer(&changed) {
                    assert!(answer.addresses.len() <= 3);
                }
            }
        }
    }
}
