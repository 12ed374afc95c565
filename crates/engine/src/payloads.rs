//! Reading payloads where they stand.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use ossia_store::ReadError;

use crate::{
    buffers::Buffers,
    disk::{Access, Disk, DiskFile},
    journal::{
        record::{Home, Place},
        segment,
    },
    span::Span,
    values,
};

/// Open files that are kept.
const FILES_MAX: usize = 128;
/// Payloads no further apart than this are read with one call.
const GAP_BYTES_MAX: u64 = 4 << 10;
/// One call reads no more than this, unless a single payload is longer.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// No more than this is read without another thread: the reader's own has other readers to serve.
const NOW_BYTES_MAX: u64 = 1 << 20;
/// See [`NOW_BYTES_MAX`]: each may take a call of its own.
const NOW_PLACES_MAX: usize = 512;

/// Whether a read may wait for the medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waits,
    /// It gives up instead.
    Now,
}

/// Why payloads could not be read.
#[derive(Debug)]
pub(crate) enum PayloadError {
    /// This file is not there: given up with all its payloads, or lost.
    NoFile(Home, u64),
    /// A segment was given up meanwhile: the record names another place now, or nothing.
    GivenUp,
    /// It would take waiting for the medium.
    NotNow,
    Read(ReadError),
}

impl From<ReadError> for PayloadError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// The files that payloads stand in.
#[derive(Debug)]
pub(crate) struct Payloads {
    disk: Arc<dyn Disk>,
    journal: PathBuf,
    values: PathBuf,
    span: Arc<Span>,
    files: Mutex<Files>,
    buffers: Arc<Buffers>,
}

#[derive(Debug, Default)]
struct Files {
    open: HashMap<(Home, u64), (u64, Arc<dyn DiskFile>)>,
    clock: u64,
}

impl Payloads {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        shard: &Path,
        span: Arc<Span>,
        buffers: Arc<Buffers>,
    ) -> Self {
        let (journal, values) = (shard.join("journal"), shard.join("values"));
        Self { disk, journal, values, span, files: Mutex::default(), buffers }
    }

    /// The bytes at these places, in their order, each verified. Blocks.
    pub(crate) fn read(&self, places: &[Place]) -> Result<Vec<Bytes>, PayloadError> {
        self.read_with(places, Patience::Waits)
    }

    /// As [`Self::read`], if that takes no waiting; else, and on any failure, `None`: [`Self::read`] tells what there is to tell.
    pub(crate) fn read_now(&self, places: &[Place]) -> Option<Vec<Bytes>> {
        let bytes: u64 = places.iter().map(|place| u64::from(place.length)).sum();
        if bytes > NOW_BYTES_MAX || places.len() > NOW_PLACES_MAX {
            return None;
        }
        self.read_with(places, Patience::Now).ok()
    }

    fn read_with(&self, places: &[Place], patience: Patience) -> Result<Vec<Bytes>, PayloadError> {
        let mut order: Vec<usize> = (0..places.len()).collect();
        let of = |at: &usize| places.get(*at).map(|place| (place.home, place.number, place.offset));
        order.sort_by_key(of);
        let mut told = vec![Bytes::new(); places.len()];
        let mut rest = &order[..];
        let mut read = Ok(());
        while !rest.is_empty() && read.is_ok() {
            let (run, others) = rest.split_at(run_length(places, rest));
            read = self.read_run(places, run, patience, &mut told);
            rest = others;
        }
        // Asked after everything was read: a segment that is not given up now was not when its bytes were read.
        if places.iter().any(|place| self.is_given_up(place)) {
            return Err(PayloadError::GivenUp);
        }
        read.map(|()| told)
    }

    /// Whether other bytes may stand there by now.
    pub(crate) fn is_given_up(&self, place: &Place) -> bool {
        place.home == Home::Segment && self.span.is_given_up(place.number)
    }

    /// Closes a file that has been removed: held open it would still take its room.
    pub(crate) fn forget(&self, home: Home, number: u64) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.open.remove(&(home, number));
    }

    /// The name of a file.
    pub(crate) fn path(&self, home: Home, number: u64) -> PathBuf {
        match home {
            Home::Segment => segment::path(&self.journal, number),
            Home::Values => values::path(&self.values, number),
        }
    }

    /// Reads places of one file with one call.
    fn read_run(
        &self,
        places: &[Place],
        run: &[usize],
        patience: Patience,
        told: &mut [Bytes],
    ) -> Result<(), PayloadError> {
        let of = |&at: &usize| places.get(at).copied();
        let Some(first) = run.first().and_then(of) else { return Ok(()) };
        let end = run.iter().filter_map(of).map(|place| end(&place)).max().unwrap_or(first.offset);
        let name = || self.path(first.home, first.number);
        let missing = || ReadError::Damaged(format!("{} ends too early", name().display()));
        let failed = |error| ReadError::Io(format!("{}: {error}", name().display()));
        let file = self.file(first.home, first.number, patience);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => PayloadError::NotNow,
            io::ErrorKind::NotFound => PayloadError::NoFile(first.home, first.number),
            _ => failed(error).into(),
        })?;
        let count = usize::try_from(end - first.offset).map_err(|_| missing())?;
        let mut bytes = self.buffers.take(count);
        match patience {
            Patience::Waits => {
                let read = file.read_at(bytes.as_mut(), first.offset).map_err(failed)?;
                bytes.truncate(read);
            }
            Patience::Now => {
                if !file.read_now(bytes.as_mut(), first.offset).map_err(failed)? {
                    return Err(PayloadError::NotNow);
                }
            }
        }
        let bytes = bytes.freeze();
        for at in run {
            let Some(place) = of(at) else { continue };
            let start = usize::try_from(place.offset - first.offset).map_err(|_| missing())?;
            let range = start..start.saturating_add(place.length as usize);
            if range.end > bytes.len() {
                return Err(missing().into());
            }
            let piece = bytes.slice(range);
            if crc32c::crc32c(&piece) != place.check {
                return Err(ReadError::Damaged(format!(
                    "{} at {}: a payload does not match its checksum",
                    name().display(),
                    place.offset
                ))
                .into());
            }
            if let Some(slot) = told.get_mut(*at) {
                *slot = piece;
            }
        }
        Ok(())
    }

    /// A file that payloads stand in. Opening one waits for the medium.
    fn file(&self, home: Home, number: u64, patience: Patience) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.clock += 1;
        let now = files.clock;
        if let Some((used, file)) = files.open.get_mut(&(home, number)) {
            *used = now;
            return Ok(Arc::clone(file));
        }
        if patience == Patience::Now {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Who does not wait must not wait for this either.
        drop(files);
        let file = self.disk.open(&self.path(home, number), Access::Read)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // Files that nothing can be read from any more are not held open.
        let span = &self.span;
        files.open.retain(|(home, of), _| *home != Home::Segment || !span.is_given_up(*of));
        if files.open.len() >= FILES_MAX {
            let oldest = files.open.iter().min_by_key(|(_, (used, _))| *used).map(|(&of, _)| of);
            if let Some(oldest) = oldest {
                files.open.remove(&oldest);
            }
        }
        files.open.insert((home, number), (now, Arc::clone(&file)));
        Ok(file)
    }
}

fn end(place: &Place) -> u64 {
    place.offset.saturating_add(place.length.into())
}

/// How many of these places, sorted, one call should read.
fn run_length(places: &[Place], sorted: &[usize]) -> usize {
    let mut sorted = sorted.iter().filter_map(|&at| places.get(at));
    let Some(first) = sorted.next() else { return sorted.count().max(1) };
    let mut reach = end(first);
    let mut count = 1;
    for place in sorted {
        let near = place.offset <= reach.saturating_add(GAP_BYTES_MAX);
        let short = end(place).saturating_sub(first.offset) <= RUN_BYTES_MAX;
        if (place.home, place.number) != (first.home, first.number) || !near || !short {
            break;
        }
        reach = reach.max(end(place));
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::Home;

    fn place(number: u64, offset: u64, length: u32) -> Place {
        Place { home: Home::Segment, number, offset, length, check: 0 }
    }

    #[test]
    fn near_places_of_one_segment_make_one_run() {
        let places = [
            place(1, 0, 100),
            place(1, 100, 100),
            place(1, 4_000, 10),
            place(1, 9_000, 1),
            place(2, 9_001, 1),
        ];
        assert_eq!(run_length(&places, &[0, 1, 2, 3, 4]), 3);
        assert_eq!(run_length(&places, &[3, 4]), 1);
        let long = [place(1, 0, 1 << 20), place(1, 1 << 20, 1)];
        assert_eq!(run_length(&long, &[0, 1]), 1);
    }
}
