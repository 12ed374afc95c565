//! Input that arrives bit by bit: standard input, a pipe.
//!
//! A thread of its own reads, since reading a pipe blocks for as long as nobody writes; it hands pieces over through a bounded
//! channel (I7), and is left behind when the process ends. [`Blocks`] puts pieces together until a block is full or has waited
//! long enough.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Most that is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces between the reading thread and whoever takes them: 1 MiB of input.
const PIECES_WAITING: usize = 16;

/// What a thread reads, piece by piece.
pub(crate) struct Pieces(mpsc::Receiver<std::io::Result<Bytes>>);

impl Pieces {
    /// Starts reading.
    pub(crate) fn read(source: impl Read + Send + 'static) -> Pieces {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        std::thread::spawn(move || pump(source, &sender));
        Pieces(receiver)
    }
}

fn pump(mut source: impl Read, sender: &mpsc::Sender<std::io::Result<Bytes>>) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let piece = match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => Ok(Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default())),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if sender.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}

impl Stream for Pieces {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Input put together into blocks.
pub(crate) struct Blocks {
    pieces: Pieces,
    block_bytes: usize,
    flush_interval: Duration,
    block: Vec<u8>,
    /// What did not fit into the last block.
    rest: Bytes,
    stopped: bool,
    over: bool,
}

impl Blocks {
    /// Blocks of at most `block_bytes` (at least 1), each at most `flush_interval` old when it is given out.
    pub(crate) fn new(pieces: Pieces, block_bytes: usize, flush_interval: Duration) -> Blocks {
        let block_bytes = block_bytes.max(1);
        Blocks {
            pieces,
            block_bytes,
            flush_interval,
            block: Vec::new(),
            rest: Bytes::new(),
            stopped: false,
            over: false,
        }
    }

    /// The next block, never empty; `None` at the end. `stop` ends the input as if it had ended by itself.
    ///
    /// # Errors
    /// If reading failed. What had been read before that was given out already or is lost with the error.
    pub(crate) async fn next(
        &mut self,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> std::io::Result<Option<Bytes>> {
        let mut deadline = None;
        self.take_rest();
        while !self.over && self.block.len() < self.block_bytes {
            if !self.block.is_empty() && deadline.is_none() {
                deadline = Some(Instant::now() + self.flush_interval);
            }
            let timeout = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let piece = tokio::select! {
                piece = self.pieces.0.recv() => piece,
                () = &mut *stop, if !self.stopped => {
                    // What was read already still comes, then the end.
                    self.pieces.0.close();
                    self.stopped = true;
                    continue;
                }
                () = timeout => break,
            };
            match piece {
                Some(piece) => self.rest = piece?,
                None => self.over = true,
            }
            self.take_rest();
        }
        let block = std::mem::take(&mut self.block);
        Ok((!block.is_empty()).then(|| Bytes::from(block)))
    }

    /// Moves as much of the rest into the block as fits.
    fn take_rest(&mut self) {
        let room = self.block_bytes.saturating_sub(self.block.len());
        let part = self.rest.split_to(room.min(self.rest.len()));
        self.block.extend_from_slice(&part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::io::{self, Write as _};

    async fn all(mut blocks: Blocks) -> Vec<Bytes> {
        let mut out = Vec::new();
        while let Some(block) = blocks.next(&mut Box::pin(pending())).await.unwrap() {
            out.push(block);
        }
        out
    }

    #[tokio::test]
    async fn blocks_are_full_but_the_last() {
        let bytes: Vec<u8> = (0..PIECE_BYTES * 2 + 5).map(|i| i as u8).collect();
        let pieces = Pieces::read(io::Cursor::new(bytes.clone()));
        let blocks = all(Blocks::new(pieces, 50_000, Duration::from_secs(60))).await;
        let sizes: Vec<_> = blocks.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [50_000, 50_000, 31_077]);
        assert_eq!(blocks.concat(), bytes);
    }

    #[tokio::test]
    async fn nothing_gives_no_block() {
        let pieces = Pieces::read(io::empty());
        assert!(all(Blocks::new(pieces, 10, Duration::from_secs(60))).await.is_empty());
    }

    #[tokio::test]
    async fn a_block_that_has_waited_is_given_out_while_the_input_is_open() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut blocks = Blocks::new(Pieces::read(reader), 1000, Duration::from_millis(10));
        writer.write_all(b"one").unwrap();
        let mut never = Box::pin(pending());
        assert_eq!(blocks.next(&mut never).await.unwrap().unwrap(), "one");
        writer.write_all(b"two").unwrap();
        drop(writer);
        assert_eq!(blocks.next(&mut never).await.unwrap().unwrap(), "two");
        assert_eq!(blocks.next(&mut never).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stop_ends_the_input_and_keeps_what_was_read() {
        let (sender, receiver) = mpsc::channel(4);
        for piece in ["ha", "lf"] {
            sender.try_send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
        }
        let mut blocks = Blocks::new(Pieces(receiver), 1000, Duration::from_secs(600));
        let mut stop = Box::pin(ready(()));
        assert_eq!(blocks.next(&mut stop).await.unwrap().unwrap(), "half");
        assert_eq!(blocks.next(&mut stop).await.unwrap(), None);
        assert!(sender.is_closed(), "the reading thread is not told to end");
    }

    #[tokio::test]
    async fn an_error_is_passed_on() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let mut blocks = Blocks::new(Pieces::read(Broken), 10, Duration::from_secs(1));
        let error = blocks.next(&mut Box::pin(pending())).await.unwrap_err();
        assert_eq!(error.to_string(), "gone");
    }
}
