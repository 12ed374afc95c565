//! What is done to the files of a store.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use crate::{common::Random, store::Made};

/// One damage. Files are named relative to the store's folder.
#[derive(Clone)]
pub(crate) enum Harm {
    /// A range has other bytes, and no byte of it is what it was.
    Range { file: PathBuf, at: u64, bytes: u64, seed: u64 },
    /// One bit is another.
    Bit { file: PathBuf, at: u64, bit: u8 },
    /// A sector is zeros.
    Zeros { file: PathBuf, at: u64, bytes: u64 },
    /// A sector is anything.
    Garbage { file: PathBuf, at: u64, bytes: u64, seed: u64 },
    /// The file ends early.
    Cut { file: PathBuf, bytes: u64 },
    /// The file is gone.
    Gone { file: PathBuf },
    /// There is something behind its end.
    Longer { file: PathBuf, bytes: u64, seed: u64 },
    /// Two files of one kind have each other's bytes.
    Swapped { one: PathBuf, other: PathBuf },
    /// The file is what it was when the store was closed before.
    Older { file: PathBuf, at: usize },
}

impl std::fmt::Debug for Harm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind();
        match self {
            Self::Range { file, at, bytes, .. }
            | Self::Zeros { file, at, bytes }
            | Self::Garbage { file, at, bytes, .. } => {
                write!(f, "{kind} {} {at}+{bytes}", file.display())
            }
            Self::Bit { file, at, bit } => write!(f, "{kind} {} {at} bit {bit}", file.display()),
            Self::Cut { file, bytes } | Self::Longer { file, bytes, .. } => {
                write!(f, "{kind} {} {bytes}", file.display())
            }
            Self::Gone { file } | Self::Older { file, .. } => {
                write!(f, "{kind} {}", file.display())
            }
            Self::Swapped { one, other } => {
                write!(f, "{kind} {} {}", one.display(), other.display())
            }
        }
    }
}

impl Harm {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Range { .. } => "range",
            Self::Bit { .. } => "bit",
            Self::Zeros { .. } => "zeros",
            Self::Garbage { .. } => "garbage",
            Self::Cut { .. } => "cut short",
            Self::Gone { .. } => "gone",
            Self::Longer { .. } => "longer",
            Self::Swapped { .. } => "swapped",
            Self::Older { .. } => "older",
        }
    }

    /// Whether it changes a file in place.
    pub(crate) fn touches(&self, name: &Path) -> bool {
        match self {
            Self::Range { file, .. }
            | Self::Bit { file, .. }
            | Self::Zeros { file, .. }
            | Self::Garbage { file, .. }
            | Self::Cut { file, .. }
            | Self::Gone { file }
            | Self::Longer { file, .. }
            | Self::Older { file, .. } => file == name,
            Self::Swapped { one, other } => one == name || other == name,
        }
    }

    /// Does it to a copy of the store.
    pub(crate) fn apply(&self, made: &Made, data: &Path) {
        let open = |file: &Path| {
            fs::OpenOptions::new().read(true).write(true).open(data.join(file)).unwrap()
        };
        match self {
            Self::Range { file, at, bytes, seed } => {
                let open = open(file);
                let mut old = vec![0; *bytes as usize];
                open.read_exact_at(&mut old, *at).unwrap();
                let noise = Random::of(*seed).bytes(old.len());
                for (byte, noise) in old.iter_mut().zip(noise) {
                    *byte ^= noise.max(1);
                }
                open.write_all_at(&old, *at).unwrap();
            }
            Self::Bit { file, at, bit } => {
                let open = open(file);
                let mut byte = [0];
                open.read_exact_at(&mut byte, *at).unwrap();
                byte[0] ^= 1 << bit;
                open.write_all_at(&byte, *at).unwrap();
            }
            Self::Zeros { file, at, bytes } => {
                open(file).write_all_at(&vec![0; *bytes as usize], *at).unwrap();
            }
            Self::Garbage { file, at, bytes, seed } => {
                let garbage = Random::of(*seed).bytes(*bytes as usize);
                open(file).write_all_at(&garbage, *at).unwrap();
            }
            Self::Cut { file, bytes } => open(file).set_len(*bytes).unwrap(),
            Self::Gone { file } => fs::remove_file(data.join(file)).unwrap(),
            Self::Longer { file, bytes, seed } => {
                let open = open(file);
                let end = open.metadata().unwrap().len();
                let garbage = Random::of(*seed).bytes(*bytes as usize);
                open.write_all_at(&garbage, end).unwrap();
            }
            Self::Swapped { one, other } => {
                let (a, b) = (data.join(one), data.join(other));
                let (of_a, of_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
                fs::write(a, of_b).unwrap();
                fs::write(b, of_a).unwrap();
            }
            Self::Older { file, at } => {
                fs::write(data.join(file), &made.older[*at].1).unwrap();
            }
        }
    }
}

/// Every byte of every file in turn, in about so many ranges, and every other thing that can be done to a file as a whole.
pub(crate) fn sweep(made: &Made, count: usize) -> Vec<Harm> {
    let bytes: u64 = made.files.iter().map(|(_, bytes)| bytes).sum();
    let stride = bytes.div_ceil(count.max(1) as u64).max(1);
    let mut harms = Vec::new();
    for (file, length) in &made.files {
        for at in (0..*length).step_by(stride as usize) {
            let bytes = stride.min(length - at);
            harms.push(Harm::Range { file: file.clone(), at, bytes, seed: at });
        }
        harms.push(Harm::Gone { file: file.clone() });
        harms.push(Harm::Cut { file: file.clone(), bytes: 0 });
        harms.push(Harm::Cut { file: file.clone(), bytes: (*length).min(4_096) });
    }
    for (at, (file, _)) in made.older.iter().enumerate() {
        harms.push(Harm::Older { file: file.clone(), at });
    }
    harms
}

/// One of any kind, anywhere.
pub(crate) fn random(made: &Made, random: &mut Random) -> Harm {
    // Files for their own sake half of the time, for their bytes otherwise.
    let (file, length) = if random.below(2) == 0 {
        pick(&made.files, random).clone()
    } else {
        let all: u64 = made.files.iter().map(|(_, bytes)| bytes).sum();
        let mut at = random.below(all);
        let found = made.files.iter().find(|(_, bytes)| {
            let here = at < *bytes;
            at = at.saturating_sub(*bytes);
            here
        });
        found.unwrap().clone()
    };
    let at = random.below(length.max(1));
    let seed = random.next();
    let sector = |bytes: u64| {
        let at = at / bytes * bytes;
        (at, bytes.min(length - at))
    };
    if length == 0 {
        return Harm::Longer { file, bytes: 1 + random.below(5_000), seed };
    }
    let size = if random.below(2) == 0 { 512 } else { 4_096 };
    let (start, bytes) = sector(size);
    match random.below(20) {
        0..6 => Harm::Bit { file, at, bit: random.below(8) as u8 },
        6..9 => Harm::Zeros { file, at: start, bytes },
        9..12 => Harm::Garbage { file, at: start, bytes, seed },
        12..15 => Harm::Cut { file, bytes: if random.below(2) == 0 { at } else { start } },
        15 => Harm::Gone { file },
        16 => Harm::Longer { file, bytes: 1 + random.below(9_000), seed },
        17 | 18 => {
            let kind = kind_of(&file);
            let same: Vec<_> =
                made.files.iter().filter(|(name, _)| kind_of(name) == kind).collect();
            let other = same[random.below(same.len() as u64) as usize].0.clone();
            Harm::Swapped { one: file, other }
        }
        _ => {
            let at = random.below(made.older.len() as u64) as usize;
            Harm::Older { file: made.older[at].0.clone(), at }
        }
    }
}

fn pick<'a, T>(of: &'a [T], random: &mut Random) -> &'a T {
    &of[random.below(of.len() as u64) as usize]
}

/// Files that might be taken for one another.
fn kind_of(file: &Path) -> String {
    let text = file.to_str().unwrap();
    for part in ["journal/", "tables/", "values/", "blobs/", "copies/", "index/"] {
        if text.contains(part) {
            return part.into();
        }
    }
    String::new()
}
