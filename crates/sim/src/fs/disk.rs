//! What a disk holds, what of it is durable, and what may become of the rest when the power goes.
//!
//! A file has durable content and a list of writes and changes of length since its last sync; the folders have durable entries and
//! one list of changes of names since. A cut leaves of both lists what a lawful disk may leave:
//!
//! - of a file each sector of 512 bytes is, for itself, as after one of the writes that touched it, or as it was durably; so writes
//!   are torn, lost and reordered, but never mixed within a sector;
//! - its length is one that it had on the way, or lies between two of them;
//! - a sector that was to be a new one and was not written is zeros, or what a removed file left there;
//! - a change of names is there as a whole or not at all, and only together with earlier changes of the same names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::SystemTime;

use super::content::{BLOCK_BYTES, Content};
use crate::random::Random;

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;
/// The folder at the top.
pub(super) const ROOT: u64 = 1;
/// Leftovers of removed files that are kept for [`Disk::cut`].
const LEFTOVERS_MAX: usize = 64;

/// Why a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    Exists,
    NotAFolder,
    IsAFolder,
    NotEmpty,
    Full,
}

type Done<T> = Result<T, Refusal>;

/// How a cut chooses what survives of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    Nothing,
    Everything,
    /// All up to some point in time, and nothing behind it.
    Ordered,
    /// Each for itself, so many in a hundred.
    Mixed(u64),
}

impl Temper {
    fn choose(random: &mut Random) -> Temper {
        match random.below(10) {
            0 => Temper::Nothing,
            1 => Temper::Everything,
            2 => Temper::Ordered,
            3 | 4 => Temper::Mixed(10),
            5 | 6 => Temper::Mixed(90),
            _ => Temper::Mixed(50),
        }
    }

    /// For each of a list of changes, whether it survives.
    fn survivors(self, count: usize, random: &mut Random) -> Vec<bool> {
        match self {
            Temper::Nothing => vec![false; count],
            Temper::Everything => vec![true; count],
            Temper::Ordered => {
                let end = random.below(count as u64 + 1) as usize;
                (0..count).map(|at| at < end).collect()
            }
            Temper::Mixed(chance) => (0..count).map(|_| random.percent(chance)).collect(),
        }
    }
}

/// A change of a file that was not synced.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Length(u64),
}

#[derive(Debug, Default)]
struct FileState {
    durable: Content,
    present: Content,
    pending: Vec<Change>,
}

#[derive(Debug, Default)]
struct FolderState {
    durable: BTreeMap<OsString, u64>,
    present: BTreeMap<OsString, u64>,
}

#[derive(Debug)]
enum Kind {
    File(FileState),
    Folder(FolderState),
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    mode: u16,
    changed: SystemTime,
    /// Names in the present state, and in the durable one.
    links: u32,
    durable_links: u32,
    /// Open handles.
    opens: u32,
    /// Whether its blocks count as taken: not once it has no name and is not open, though a cut may bring it back.
    counted: bool,
    /// A name that it had last, for faults that look for names.
    path: String,
}

/// What is told of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) inode: u64,
    pub(super) folder: bool,
    pub(super) length: u64,
    pub(super) blocks: u64,
    pub(super) links: u32,
    pub(super) mode: u16,
    pub(super) changed: SystemTime,
}

/// A name, and what it means from then on.
#[derive(Debug, Clone)]
struct Naming {
    folder: u64,
    name: OsString,
    means: Option<u64>,
}

/// Namings that are done together or not at all.
type Renaming = Vec<Naming>;

/// What a cut did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutReport {
    /// Changes of files that were not synced, and how many of them are not there as a whole any more.
    pub changes: u64,
    /// See `changes`.
    pub changes_lost: u64,
    /// Changes of names that were not synced, and how many of them are undone.
    pub names: u64,
    /// See `names`.
    pub names_lost: u64,
}

/// A disk and the state of its cache.
#[derive(Debug)]
pub(super) struct Disk {
    nodes: HashMap<u64, Node>,
    next: u64,
    renamings: Vec<Renaming>,
    capacity: u64,
    taken: u64,
    leftovers: Vec<Arc<[u8; BLOCK_BYTES]>>,
    /// Whether new sectors that were not written may hold what removed files left.
    pub(super) stale: bool,
    /// Whether a sync of a file makes its names durable too, as many file systems do and POSIX does not ask.
    pub(super) sync_names: bool,
}

impl Disk {
    /// An empty disk of so many bytes.
    pub(super) fn new(capacity_bytes: u64) -> Disk {
        let mut disk = Disk {
            nodes: HashMap::new(),
            next: ROOT,
            renamings: Vec::new(),
            capacity: 0,
            taken: 0,
            leftovers: Vec::new(),
            stale: true,
            sync_names: false,
        };
        disk.set_capacity(capacity_bytes);
        disk.clear();
        disk
    }

    /// Forgets everything. Inodes are not given again: the kernel may still know the old ones.
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.renamings.clear();
        self.leftovers.clear();
        self.taken = 0;
        let kind = Kind::Folder(FolderState::default());
        let root = Node {
            kind,
            mode: 0o755,
            changed: SystemTime::now(),
            links: 1,
            durable_links: 1,
            opens: 0,
            counted: true,
            path: String::new(),
        };
        self.nodes.insert(ROOT, root);
        self.next = self.next.max(ROOT + 1);
    }

    pub(super) fn set_capacity(&mut self, bytes: u64) {
        self.capacity = bytes / BLOCK_BYTES as u64;
    }

    /// Blocks in all, and free ones.
    pub(super) fn room(&self) -> (u64, u64) {
        (self.capacity, self.capacity.saturating_sub(self.taken))
    }

    fn node(&self, inode: u64) -> Done<&Node> {
        self.nodes.get(&inode).ok_or(Refusal::NotFound)
    }

    fn node_mut(&mut self, inode: u64) -> Done<&mut Node> {
        self.nodes.get_mut(&inode).ok_or(Refusal::NotFound)
    }

    fn folder(&self, inode: u64) -> Done<&FolderState> {
        match &self.node(inode)?.kind {
            Kind::Folder(folder) => Ok(folder),
            Kind::File(_) => Err(Refusal::NotAFolder),
        }
    }

    fn file(&self, inode: u64) -> Done<&FileState> {
        match &self.node(inode)?.kind {
            Kind::File(file) => Ok(file),
            Kind::Folder(_) => Err(Refusal::IsAFolder),
        }
    }

    fn file_mut(&mut self, inode: u64) -> Done<&mut FileState> {
        match &mut self.node_mut(inode)?.kind {
            Kind::File(file) => Ok(file),
            Kind::Folder(_) => Err(Refusal::IsAFolder),
        }
    }

    pub(super) fn facts(&self, inode: u64) -> Done<Facts> {
        let node = self.node(inode)?;
        let (folder, length, blocks) = match &node.kind {
            Kind::File(file) => (false, file.present.length(), file.present.taken()),
            Kind::Folder(folder) => (true, folder.present.len() as u64, 0),
        };
        let Node { links, mode, changed, .. } = *node;
        Ok(Facts { inode, folder, length, blocks, links, mode, changed })
    }

    /// A name that a file or folder has, or had last, from the top on.
    pub(super) fn path(&self, inode: u64) -> &str {
        self.nodes.get(&inode).map_or("", |node| &node.path)
    }

    fn path_in(&self, folder: u64, name: &OsStr) -> String {
        format!("{}/{}", self.path(folder), name.to_string_lossy())
    }

    /// The file or folder of a path from the top on.
    pub(super) fn find(&self, path: &str) -> Done<u64> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |folder, name| self.lookup(folder, OsStr::new(name)))
    }

    pub(super) fn lookup(&self, folder: u64, name: &OsStr) -> Done<u64> {
        self.folder(folder)?.present.get(name).copied().ok_or(Refusal::NotFound)
    }

    pub(super) fn list(&self, folder: u64) -> Done<Vec<(OsString, u64, bool)>> {
        let is_folder = |inode: &u64| self.folder(*inode).is_ok();
        let entries = &self.folder(folder)?.present;
        Ok(entries.iter().map(|(name, inode)| (name.clone(), *inode, is_folder(inode))).collect())
    }

    pub(super) fn set_mode(&mut self, inode: u64, mode: u16) -> Done<()> {
        self.node_mut(inode)?.mode = mode;
        Ok(())
    }

    /// Makes a file or a folder.
    pub(super) fn make(
        &mut self,
        folder: u64,
        name: &OsStr,
        is_folder: bool,
        mode: u16,
    ) -> Done<u64> {
        if self.folder(folder)?.present.contains_key(name) {
            return Err(Refusal::Exists);
        }
        let inode = self.next;
        self.next += 1;
        let path = self.path_in(folder, name);
        let kind = if is_folder {
            Kind::Folder(FolderState::default())
        } else {
            Kind::File(FileState::default())
        };
        let changed = SystemTime::now();
        let node =
            Node { kind, mode, changed, links: 0, durable_links: 0, opens: 0, counted: true, path };
        self.nodes.insert(inode, node);
        self.rename_all(vec![Naming { folder, name: name.to_owned(), means: Some(inode) }]);
        Ok(inode)
    }

    pub(super) fn link(&mut self, inode: u64, folder: u64, name: &OsStr) -> Done<()> {
        self.file(inode)?;
        if self.folder(folder)?.present.contains_key(name) {
            return Err(Refusal::Exists);
        }
        self.rename_all(vec![Naming { folder, name: name.to_owned(), means: Some(inode) }]);
        Ok(())
    }

    /// Removes a name of a file, or an empty folder.
    pub(super) fn remove(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Done<()> {
        let inode = self.lookup(folder, name)?;
        match (&self.node(inode)?.kind, is_folder) {
            (Kind::Folder(_), false) => return Err(Refusal::IsAFolder),
            (Kind::File(_), true) => return Err(Refusal::NotAFolder),
            (Kind::Folder(inner), true) if !inner.present.is_empty() => {
                return Err(Refusal::NotEmpty);
            }
            _ => {}
        }
        self.rename_all(vec![Naming { folder, name: name.to_owned(), means: None }]);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        from: (u64, &OsStr),
        to: (u64, &OsStr),
        replace: bool,
    ) -> Done<()> {
        let inode = self.lookup(from.0, from.1)?;
        if let Ok(old) = self.lookup(to.0, to.1) {
            if old == inode {
                return Ok(());
            }
            if !replace {
                return Err(Refusal::Exists);
            }
            match (self.folder(inode), self.folder(old)) {
                (Ok(_), Ok(old)) if !old.present.is_empty() => return Err(Refusal::NotEmpty),
                (Ok(_), Err(_)) => return Err(Refusal::NotAFolder),
                (Err(_), Ok(_)) => return Err(Refusal::IsAFolder),
                _ => {}
            }
        }
        self.rename_all(vec![
            Naming { folder: from.0, name: from.1.to_owned(), means: None },
            Naming { folder: to.0, name: to.1.to_owned(), means: Some(inode) },
        ]);
        Ok(())
    }

    fn rename_all(&mut self, renaming: Renaming) {
        for naming in &renaming {
            let path = self.path_in(naming.folder, &naming.name);
            if let Some(node) = naming.means.and_then(|inode| self.nodes.get_mut(&inode)) {
                node.links += 1;
                node.path = path;
            }
            let now = SystemTime::now();
            let Some(node) = self.nodes.get_mut(&naming.folder) else { continue };
            node.changed = now;
            let Kind::Folder(folder) = &mut node.kind else { continue };
            let old = match naming.means {
                Some(inode) => folder.present.insert(naming.name.clone(), inode),
                None => folder.present.remove(&naming.name),
            };
            if let Some(old) = old {
                self.unlink(old);
            }
        }
        self.renamings.push(renaming);
    }

    /// One name of the present state fewer.
    fn unlink(&mut self, inode: u64) {
        if let Some(node) = self.nodes.get_mut(&inode) {
            node.links = node.links.saturating_sub(1);
        }
        self.let_go(inode);
    }

    pub(super) fn opened(&mut self, inode: u64) -> Done<()> {
        self.node_mut(inode)?.opens += 1;
        Ok(())
    }

    pub(super) fn released(&mut self, inode: u64) {
        if let Some(node) = self.nodes.get_mut(&inode) {
            node.opens = node.opens.saturating_sub(1);
        }
        self.let_go(inode);
    }

    /// Forgets a file that nobody can come to any more, also not by a cut.
    fn let_go(&mut self, inode: u64) {
        let Some(node) = self.nodes.get_mut(&inode) else { return };
        if node.links > 0 || node.opens > 0 {
            return;
        }
        if std::mem::take(&mut node.counted)
            && let Kind::File(file) = &node.kind
        {
            self.taken = self.taken.saturating_sub(file.present.taken());
        }
        let named = self.renamings.iter().flatten().any(|naming| naming.means == Some(inode));
        if node.durable_links > 0 || named {
            return;
        }
        self.forget(inode);
    }

    fn forget(&mut self, inode: u64) {
        let Some(node) = self.nodes.remove(&inode) else { return };
        if let Kind::File(file) = node.kind {
            if node.counted {
                self.taken = self.taken.saturating_sub(file.present.taken());
            }
            self.keep_leftover(&file.durable, inode);
        }
    }

    fn keep_leftover(&mut self, content: &Content, pick: u64) {
        if let Some(block) = content.any_block(pick) {
            if self.leftovers.len() >= LEFTOVERS_MAX {
                self.leftovers.swap_remove(pick as usize % LEFTOVERS_MAX);
            }
            self.leftovers.push(block);
        }
    }

    pub(super) fn read(&self, inode: u64, offset: u64, count: usize) -> Done<Vec<u8>> {
        Ok(self.file(inode)?.present.read(offset, count))
    }

    /// Writes as much as there is room for, and tells how much that was.
    pub(super) fn write(&mut self, inode: u64, offset: u64, bytes: &[u8]) -> Done<usize> {
        let (_, free) = self.room();
        let file = self.file(inode)?;
        let mut count = bytes.len();
        let mut takes = file.present.would_take(offset, count);
        while takes > free && count > 0 {
            // One block fewer, ending where a block ends.
            let end = (offset + count as u64 - 1) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
            count = end.saturating_sub(offset) as usize;
            takes = file.present.would_take(offset, count);
        }
        if count == 0 && !bytes.is_empty() {
            return Err(Refusal::Full);
        }
        let bytes = &bytes[..count];
        self.taken += takes;
        let node = self.node_mut(inode)?;
        node.changed = SystemTime::now();
        let file = self.file_mut(inode)?;
        file.present.write(offset, bytes);
        file.pending.push(Change::Write { offset, bytes: bytes.into() });
        Ok(count)
    }

    pub(super) fn set_length(&mut self, inode: u64, length: u64) -> Done<()> {
        let file = self.file_mut(inode)?;
        let before = file.present.taken();
        file.present.set_length(length);
        file.pending.push(Change::Length(length));
        let freed = before.saturating_sub(file.present.taken());
        self.taken = self.taken.saturating_sub(freed);
        self.node_mut(inode)?.changed = SystemTime::now();
        Ok(())
    }

    /// Makes a file's bytes and length durable.
    pub(super) fn sync_file(&mut self, inode: u64) -> Done<()> {
        let names = self.sync_names;
        let file = self.file_mut(inode)?;
        for change in file.pending.drain(..) {
            match change {
                Change::Write { offset, bytes } => file.durable.write(offset, &bytes),
                Change::Length(length) => file.durable.set_length(length),
            }
        }
        if names {
            self.make_durable(|naming| naming.means == Some(inode));
        }
        Ok(())
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&mut self, inode: u64) -> Done<()> {
        self.folder(inode)?;
        self.make_durable(|naming| naming.folder == inode);
        Ok(())
    }

    /// Makes durable what has such a naming, and whatever went before with the same names.
    fn make_durable(&mut self, such: impl Fn(&Naming) -> bool) {
        let mut wanted = HashSet::new();
        let mut due = vec![false; self.renamings.len()];
        for (at, renaming) in self.renamings.iter().enumerate().rev() {
            let mut names = renaming.iter().map(|naming| (naming.folder, naming.name.clone()));
            if renaming.iter().any(&such) || names.any(|name| wanted.contains(&name)) {
                due[at] = true;
                wanted.extend(renaming.iter().map(|naming| (naming.folder, naming.name.clone())));
            }
        }
        let mut touched = HashSet::new();
        let mut due = due.into_iter();
        let mut rest = Vec::new();
        for renaming in std::mem::take(&mut self.renamings) {
            if due.next() == Some(true) {
                self.name_durably(&renaming, &mut touched);
            } else {
                rest.push(renaming);
            }
        }
        self.renamings = rest;
        for inode in touched {
            self.let_go(inode);
        }
    }

    fn name_durably(&mut self, renaming: &Renaming, touched: &mut HashSet<u64>) {
        for naming in renaming {
            if let Some(node) = naming.means.and_then(|inode| self.nodes.get_mut(&inode)) {
                node.durable_links += 1;
                touched.extend(naming.means);
            }
            let Some(node) = self.nodes.get_mut(&naming.folder) else { continue };
            let Kind::Folder(folder) = &mut node.kind else { continue };
            let old = match naming.means {
                Some(inode) => folder.durable.insert(naming.name.clone(), inode),
                None => folder.durable.remove(&naming.name),
            };
            if let Some(node) = old.and_then(|inode| self.nodes.get_mut(&inode)) {
                node.durable_links = node.durable_links.saturating_sub(1);
                touched.extend(old);
            }
        }
    }

    /// A sync that fails: what it was to make durable is so in part, and no later sync will try again, though reads go on to show
    /// it. That is what Linux does.
    pub(super) fn fail_sync(&mut self, inode: u64, random: &mut Random) {
        let stale = Leftovers { blocks: &[] };
        if let Some(Node { kind: Kind::File(file), .. }) = self.nodes.get_mut(&inode) {
            let present = file.present.clone();
            let mut report = CutReport::default();
            cut_file(file, &stale, random, &mut report);
            file.present = present;
        }
    }

    /// Turns a bit over, in the present and the durable state; `false` where the file is not that long.
    pub(super) fn flip(&mut self, inode: u64, offset: u64, bit: u8) -> Done<bool> {
        let file = self.file_mut(inode)?;
        let mut there = false;
        for content in [&mut file.present, &mut file.durable] {
            if let [byte] = content.read(offset, 1)[..] {
                content.poke(offset, &[byte ^ (1 << (bit % 8))]);
                there = true;
            }
        }
        Ok(there)
    }

    /// The power goes and comes back.
    pub(super) fn cut(&mut self, random: &mut Random) -> CutReport {
        let mut report = CutReport::default();
        self.cut_names(random, &mut report);
        self.drop_unreachable();
        let blocks = if self.stale && random.percent(50) { &self.leftovers[..] } else { &[] };
        let stale = Leftovers { blocks };
        let mut inodes: Vec<u64> = self.nodes.keys().copied().collect();
        // In an order that the seed repeats.
        inodes.sort_unstable();
        for inode in inodes {
            if let Some(Node { kind: Kind::File(file), .. }) = self.nodes.get_mut(&inode) {
                cut_file(file, &stale, random, &mut report);
            }
        }
        let taken = self.nodes.values().map(|node| match &node.kind {
            Kind::File(file) => file.present.taken(),
            Kind::Folder(_) => 0,
        });
        self.taken = taken.sum();
        report
    }

    fn cut_names(&mut self, random: &mut Random, report: &mut CutReport) {
        let renamings = std::mem::take(&mut self.renamings);
        let survivors = Temper::choose(random).survivors(renamings.len(), random);
        let mut undone = HashSet::new();
        let mut touched = HashSet::new();
        report.names = renamings.len() as u64;
        for (renaming, survives) in renamings.into_iter().zip(survivors) {
            let mut names = renaming.iter().map(|naming| (naming.folder, naming.name.clone()));
            if survives && !names.any(|name| undone.contains(&name)) {
                self.name_durably(&renaming, &mut touched);
            } else {
                report.names_lost += 1;
                undone.extend(renaming.into_iter().map(|naming| (naming.folder, naming.name)));
            }
        }
    }

    /// Makes the durable names the present ones, and forgets what has none.
    fn drop_unreachable(&mut self) {
        let mut links: HashMap<u64, u32> = HashMap::from([(ROOT, 1)]);
        let mut paths = HashMap::new();
        let mut folders = vec![(ROOT, String::new())];
        while let Some((inode, path)) = folders.pop() {
            let Ok(folder) = self.folder(inode) else { continue };
            for (name, child) in &folder.durable {
                let first = !links.contains_key(child);
                *links.entry(*child).or_default() += 1;
                let path = format!("{path}/{}", name.to_string_lossy());
                if first && self.folder(*child).is_ok() {
                    folders.push((*child, path.clone()));
                }
                paths.insert(*child, path);
            }
        }
        let mut gone: Vec<u64> =
            self.nodes.keys().copied().filter(|inode| !links.contains_key(inode)).collect();
        gone.sort_unstable();
        for inode in gone {
            self.forget(inode);
        }
        for (inode, node) in &mut self.nodes {
            let count = links.get(inode).copied().unwrap_or_default();
            (node.links, node.durable_links, node.opens) = (count, count, 0);
            node.counted = true;
            node.path = paths.remove(inode).unwrap_or_default();
            if let Kind::Folder(folder) = &mut node.kind {
                folder.present = folder.durable.clone();
            }
        }
    }

    /// The process that had files open is gone, the power is not.
    pub(super) fn close_all(&mut self) {
        let mut inodes = Vec::new();
        for (inode, node) in &mut self.nodes {
            node.opens = 0;
            inodes.push(*inode);
        }
        for inode in inodes {
            self.let_go(inode);
        }
    }
}

/// What sectors may hold that were never written.
struct Leftovers<'a> {
    blocks: &'a [Arc<[u8; BLOCK_BYTES]>],
}

impl Leftovers<'_> {
    /// Bytes for one new sector; `None` for zeros.
    fn sector(&self, random: &mut Random) -> Option<[u8; SECTOR_BYTES as usize]> {
        if self.blocks.is_empty() || random.percent(50) {
            return None;
        }
        let block = self.blocks.get(random.below(self.blocks.len() as u64) as usize)?;
        let at = random.below(BLOCK_BYTES as u64 / SECTOR_BYTES) * SECTOR_BYTES;
        block.get(at as usize..)?.first_chunk().copied()
    }
}

/// Whether each sector of a write that survives in part is there.
fn torn(sectors: u64, random: &mut Random) -> Vec<bool> {
    let edge = random.below(sectors + 1);
    let shape = random.below(3);
    let keep = |at, random: &mut Random| match shape {
        0 => at < edge,
        1 => at >= edge,
        _ => random.percent(50),
    };
    (0..sectors).map(|at| keep(at, random)).collect()
}

fn sectors_of(offset: u64, count: usize) -> std::ops::Range<u64> {
    let end = offset + count as u64;
    offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES)
}

/// Leaves of a file's unsynced changes what a cut leaves.
fn cut_file(
    file: &mut FileState,
    stale: &Leftovers<'_>,
    random: &mut Random,
    report: &mut CutReport,
) {
    let pending = std::mem::take(&mut file.pending);
    if pending.is_empty() {
        file.present = file.durable.clone();
        return;
    }
    report.changes += pending.len() as u64;
    let temper = Temper::choose(random);
    let survivors = temper.survivors(pending.len(), random);
    let may_tear = !matches!(temper, Temper::Nothing | Temper::Everything);
    // Of each sector the last change that it is as new as; it then has the earlier ones too, for a sector is written whole.
    let mut newest: HashMap<u64, usize> = HashMap::new();
    let mut touched = HashSet::new();
    for (at, (change, survives)) in pending.iter().zip(&survivors).enumerate() {
        let Change::Write { offset, bytes } = change else { continue };
        let sectors = sectors_of(*offset, bytes.len());
        touched.extend(sectors.clone());
        let count = sectors.end - sectors.start;
        let there = match (survives, may_tear && random.percent(40)) {
            (_, true) => torn(count, random),
            (survives, false) => vec![*survives; count as usize],
        };
        if there.contains(&false) {
            report.changes_lost += 1;
        }
        for (sector, _) in sectors.zip(there).filter(|(_, there)| *there) {
            newest.insert(sector, at);
        }
    }
    // Changes of length come in their order.
    let kept = match temper {
        Temper::Nothing => 0,
        Temper::Everything => pending.len(),
        Temper::Ordered => survivors.iter().filter(|survives| **survives).count(),
        Temper::Mixed(_) => random.below(pending.len() as u64 + 1) as usize,
    };
    let base = file.durable.length();
    let mut length = base;
    let mut durable = std::mem::take(&mut file.durable);
    let mut next = None;
    for (at, change) in pending.iter().enumerate() {
        match change {
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len() as u64;
                let longer = length.max(end);
                if at < kept {
                    length = longer;
                } else if at == kept {
                    next = Some(longer);
                }
                for sector in sectors_of(*offset, bytes.len()) {
                    if newest.get(&sector).is_some_and(|newest| *newest >= at) {
                        let from = (sector * SECTOR_BYTES).max(*offset);
                        let to = ((sector + 1) * SECTOR_BYTES).min(end);
                        let piece = &bytes[(from - offset) as usize..(to - offset) as usize];
                        durable.poke(from, piece);
                    }
                }
            }
            Change::Length(wanted) if at < kept => {
                durable.clear_behind(*wanted);
                length = *wanted;
            }
            Change::Length(_) => {}
        }
    }
    // The length may have been on its way through a long write.
    if let Some(next) = next.filter(|next| *next > length && may_tear) {
        let steps = (next - length) / SECTOR_BYTES;
        let on_the_way = (length + random.below(steps + 1) * SECTOR_BYTES) / SECTOR_BYTES;
        length = length.max(on_the_way * SECTOR_BYTES);
    }
    let mut fresh: Vec<u64> = touched
        .into_iter()
        .filter(|sector| sector * SECTOR_BYTES >= base && !newest.contains_key(sector))
        .collect();
    fresh.sort_unstable();
    for sector in fresh {
        if let Some(old) = stale.sector(random) {
            durable.poke(sector * SECTOR_BYTES, &old);
        }
    }
    durable.tell_length(length);
    durable.clear_behind(length);
    file.present = durable.clone();
    file.durable = durable;
}
