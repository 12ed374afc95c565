//! Reading payloads where they stand.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use ossia_store::ReadError;

use crate::{
    disk::{Access, Disk, DiskFile},
    journal::{record::Place, segment},
};

/// Open files that are kept.
const FILES_MAX: usize = 128;
/// Payloads no further apart than this are read with one call.
const GAP_BYTES_MAX: u64 = 4 << 10;
/// One call reads no more than this, unless a single payload is longer.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// Why payloads could not be read.
#[derive(Debug)]
pub(crate) enum PayloadError {
    /// The segment of this number is not there: given up with all its payloads, or lost.
    NoFile(u64),
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
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    open: HashMap<u64, (u64, Arc<dyn DiskFile>)>,
    clock: u64,
}

impl Payloads {
    pub(crate) fn new(disk: Arc<dyn Disk>, journal: PathBuf) -> Self {
        Self { disk, journal, files: Mutex::default() }
    }

    /// The bytes at these places, in their order, each verified. Blocks.
    pub(crate) fn read(&self, places: &[Place]) -> Result<Vec<Bytes>, PayloadError> {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|&at| places.get(at).map(|place| (place.number, place.offset)));
        let mut told = vec![Bytes::new(); places.len()];
        let mut rest = &order[..];
        while !rest.is_empty() {
            let (run, others) = rest.split_at(run_length(places, rest));
            self.read_run(places, run, &mut told)?;
            rest = others;
        }
        Ok(told)
    }

    /// Reads places of one file with one call.
    fn read_run(
        &self,
        places: &[Place],
        run: &[usize],
        told: &mut [Bytes],
    ) -> Result<(), PayloadError> {
        let of = |&at: &usize| places.get(at).copied();
        let Some(first) = run.first().and_then(of) else { return Ok(()) };
        let end = run.iter().filter_map(of).map(|place| end(&place)).max().unwrap_or(first.offset);
        let name = segment::path(&self.journal, first.number);
        let missing = || ReadError::Damaged(format!("{} ends too early", name.display()));
        let file = self.file(first.number).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PayloadError::NoFile(first.number),
            _ => ReadError::Io(format!("{}: {error}", name.display())).into(),
        })?;
        let count = usize::try_from(end - first.offset).map_err(|_| missing())?;
        let mut bytes = vec![0; count];
        let read = file
            .read_at(&mut bytes, first.offset)
            .map_err(|error| ReadError::Io(format!("{}: {error}", name.display())))?;
        bytes.truncate(read);
        let bytes = Bytes::from(bytes);
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
                    name.display(),
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

    fn file(&self, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.clock += 1;
        let now = files.clock;
        if let Some((used, file)) = files.open.get_mut(&number) {
            *used = now;
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&segment::path(&self.journal, number), Access::Read)?;
        if files.open.len() >= FILES_MAX {
            let oldest = files.open.iter().min_by_key(|(_, (used, _))| *used).map(|(&of, _)| of);
            if let Some(oldest) = oldest {
                files.open.remove(&oldest);
            }
        }
        files.open.insert(number, (now, Arc::clone(&file)));
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
        if place.number != first.number || !near || !short {
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
