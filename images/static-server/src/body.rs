//! The body of an answer: texts and parts of a file, read as they are sent.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::range::Part;

/// Bytes of a file in memory at a time, for each connection.
const CHUNK: u64 = 64 * 1024;

/// A piece of a body.
pub(crate) enum Piece {
    Text(Bytes),
    Part(Part),
}

/// The body of an answer.
#[derive(Default)]
pub(crate) struct FileBody {
    file: Option<File>,
    /// Where the file stands.
    position: u64,
    pieces: VecDeque<Piece>,
}

impl FileBody {
    /// A text that is there already.
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self {
            pieces: VecDeque::from([Piece::Text(text.into())]),
            ..Self::default()
        }
    }

    /// Pieces, the parts among them of this file.
    pub(crate) fn of_file(file: File, pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self {
            file: Some(file),
            position: 0,
            pieces: pieces.into_iter().collect(),
        }
    }

    fn read(&mut self, part: Part) -> io::Result<Bytes> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        if self.position != part.start {
            file.seek(SeekFrom::Start(part.start))?;
        }
        let wanted = usize::try_from(part.len().min(CHUNK)).map_err(io::Error::other)?;
        let mut chunk = vec![0; wanted];
        let read = file.read(&mut chunk)?;
        if read == 0 {
            // The file was cut while it was sent: the connection can't go on.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(read);
        self.position = part.start + read as u64;
        if self.position < part.end {
            let rest = Part {
                start: self.position,
                end: part.end,
            };
            self.pieces.push_front(Piece::Part(rest));
        }
        Ok(chunk.into())
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let data = match self.pieces.pop_front() {
            None => return Poll::Ready(None),
            Some(Piece::Text(text)) => Ok(text),
            Some(Piece::Part(part)) => self.read(part),
        };
        Poll::Ready(Some(data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let sizes = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::Part(part) => part.len(),
        });
        SizeHint::with_exact(sizes.sum())
    }
}
