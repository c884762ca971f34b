//! The bodies of requests: text that is there, or chunks that come.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RequestBody(Kind);

#[derive(Debug)]
enum Kind {
    /// Text that is there, until it was taken.
    Full(Option<Bytes>),
    /// Chunks to come.
    Stream { chunks: mpsc::Receiver<Bytes>, remaining: u64 },
}

/// The source of a streamed body ended too early.
#[derive(Debug, thiserror::Error)]
#[error("the file could not be read to its end")]
pub(crate) struct CutShort;

impl RequestBody {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self(Kind::Full(None))
    }

    /// A text.
    pub(crate) fn full(text: Vec<u8>) -> Self {
        Self(Kind::Full(Some(text.into())))
    }

    /// `length` bytes in chunks.
    pub(crate) fn stream(chunks: mpsc::Receiver<Bytes>, length: u64) -> Self {
        Self(Kind::Stream { chunks, remaining: length })
    }

    /// Whether it is still read while it is sent.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self.0, Kind::Stream { .. })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        match &mut self.0 {
            Kind::Full(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Stream { chunks, remaining } => {
                chunks.poll_recv(context).map(|chunk| match chunk {
                    Some(chunk) => {
                        *remaining = remaining.saturating_sub(chunk.len() as u64);
                        Some(Ok(Frame::data(chunk)))
                    }
                    None if *remaining > 0 => Some(Err(CutShort)),
                    None => None,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(text) => text.is_none(),
            Kind::Stream { remaining, .. } => *remaining == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Kind::Full(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Kind::Stream { remaining, .. } => *remaining,
        })
    }
}
