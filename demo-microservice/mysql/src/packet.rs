//! Packets on the wire, without any input or output.
//!
//! A packet is a 3-byte length, a sequence number and a payload; a payload of `0xffffff` bytes or
//! more travels in several packets, the last of them shorter (MySQL protocol, "MySQL Packets").

use crate::error::{Error, Result};
use std::ops::Range;

/// The longest payload of one packet; one that reaches it is continued in the next.
pub(crate) const CHUNK: usize = 0xff_ffff;
const HEADER: usize = 4;
const READ_SIZE: usize = 8 * 1024;

/// Received bytes on their way to becoming payloads.
#[derive(Debug)]
pub(crate) struct Inbox {
    // Initialised throughout, so that reading into it needs neither zeroing nor unsafe code:
    // bytes outside start..end are scrap.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    // Bytes of an unfinished long payload, already joined at `start`.
    joined: usize,
    sequence: u8,
    limit: usize,
}

impl Inbox {
    /// `limit`: the longest payload taken, in bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            joined: 0,
            sequence: 0,
            limit,
        }
    }

    /// The sequence number that the next packet must carry.
    pub(crate) fn expect(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// The sequence number for an answer to what was read last.
    pub(crate) fn sequence(&self) -> u8 {
        self.sequence
    }

    /// Whether no byte waits to be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room to read into; tell [`Inbox::filled`] how much of it was used.
    ///
    /// Ranges given out before are void afterwards.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.buffer.len() - self.end < READ_SIZE {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() - self.end < READ_SIZE {
            let length = (self.buffer.len() * 2).max(self.end + READ_SIZE);
            self.buffer.resize(length, 0);
        }
        &mut self.buffer[self.end..]
    }

    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// The place of the next whole payload, or `None` until more bytes have come.
    pub(crate) fn next(&mut self) -> Result<Option<Range<usize>>> {
        loop {
            let head = self.start + self.joined;
            let Some(&[a, b, c, sequence]) = self.buffer[head..self.end].first_chunk::<HEADER>()
            else {
                return Ok(None);
            };
            let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            if sequence != self.sequence {
                let expected = self.sequence;
                return Err(Error::protocol(format!(
                    "packet {sequence} came where {expected} was due"
                )));
            }
            if self.joined + length > self.limit {
                let limit = self.limit;
                return Err(Error::protocol(format!(
                    "an answer is longer than {limit} bytes"
                )));
            }
            if self.end - head < HEADER + length {
                return Ok(None);
            }
            self.sequence = self.sequence.wrapping_add(1);
            if self.joined == 0 && length < CHUNK {
                let payload = head + HEADER..head + HEADER + length;
                self.start = payload.end;
                return Ok(Some(payload));
            }
            self.buffer.copy_within(head + HEADER..self.end, head);
            self.end -= HEADER;
            self.joined += length;
            if length < CHUNK {
                let payload = self.start..self.start + self.joined;
                self.start = payload.end;
                self.joined = 0;
                return Ok(Some(payload));
            }
        }
    }

    /// The bytes at a place that [`Inbox::next`] gave since the last [`Inbox::spare`].
    pub(crate) fn payload(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }
}

/// Appends one payload, written by `body`, in as many packets as it needs.
///
/// Returns the sequence number that follows the last of them.
pub(crate) fn frame(out: &mut Vec<u8>, sequence: u8, body: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let head = out.len();
    out.extend_from_slice(&[0; HEADER]);
    body(out);
    let length = out.len() - head - HEADER;
    if length < CHUNK {
        out[head..head + HEADER].copy_from_slice(&header(length, sequence));
        return sequence.wrapping_add(1);
    }
    let payload = out.split_off(head + HEADER);
    out.truncate(head);
    let mut sequence = sequence;
    // A payload that ends on a chunk's border is closed by an empty packet.
    for start in (0..=length).step_by(CHUNK) {
        let chunk = &payload[start..length.min(start + CHUNK)];
        out.extend_from_slice(&header(chunk.len(), sequence));
        out.extend_from_slice(chunk);
        sequence = sequence.wrapping_add(1);
    }
    sequence
}

fn header(length: usize, sequence: u8) -> [u8; HEADER] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the three low bytes of at most 0xffffff"
    )]
    [
        length as u8,
        (length >> 8) as u8,
        (length >> 16) as u8,
        sequence,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(inbox: &mut Inbox, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let spare = inbox.spare();
            let count = spare.len().min(rest.len());
            spare[..count].copy_from_slice(&rest[..count]);
            inbox.filled(count);
            rest = &rest[count..];
        }
    }

    fn one(inbox: &mut Inbox) -> Option<Vec<u8>> {
        inbox
            .next()
            .unwrap()
            .map(|place| inbox.payload(place).to_vec())
    }

    proptest! {
        #[test]
        fn payloads_survive_any_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
            cut in 1_usize..64,
        ) {
            let mut wire = Vec::new();
            let mut sequence = 0;
            for payload in &payloads {
                sequence = frame(&mut wire, sequence, |out| out.extend_from_slice(payload));
            }
            let mut inbox = Inbox::new(1 << 20);
            let mut seen = Vec::new();
            for piece in wire.chunks(cut) {
                feed(&mut inbox, piece);
                while let Some(payload) = one(&mut inbox) {
                    seen.push(payload);
                }
            }
            prop_assert_eq!(seen, payloads);
            prop_assert!(inbox.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut inbox = Inbox::new(1 << 16);
            feed(&mut inbox, &bytes);
            while let Ok(Some(place)) = inbox.next() {
                prop_assert!(inbox.payload(place).len() <= bytes.len());
            }
        }
    }

    #[test]
    fn long_payloads_are_split_and_joined() {
        for length in [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5] {
            let payload: Vec<u8> = (0..length)
                .map(|i| u8::try_from(i % 251).unwrap())
                .collect();
            let mut wire = Vec::new();
            let sequence = frame(&mut wire, 7, |out| out.extend_from_slice(&payload));
            let packets = length / CHUNK + 1;
            assert_eq!(usize::from(sequence), 7 + packets, "{length}");
            assert_eq!(wire.len(), length + HEADER * packets, "{length}");

            let mut inbox = Inbox::new(64 << 20);
            inbox.expect(7);
            feed(&mut inbox, &wire[..wire.len() - 1]);
            assert_eq!(one(&mut inbox), None);
            feed(&mut inbox, &wire[wire.len() - 1..]);
            assert!(one(&mut inbox).unwrap() == payload, "{length}");
            assert!(inbox.is_empty());
        }
    }

    #[test]
    fn a_packet_out_of_order_is_refused() {
        let mut inbox = Inbox::new(1024);
        feed(&mut inbox, &[1, 0, 0, 3, 0]);
        assert!(matches!(inbox.next(), Err(Error::Protocol(_))));
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_before_it_is_read() {
        let mut inbox = Inbox::new(16);
        feed(&mut inbox, &[17, 0, 0, 0]);
        assert!(matches!(inbox.next(), Err(Error::Protocol(_))));
    }
}
