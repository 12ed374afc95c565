//! What processes and the disk have used so far, read from `/proc` and `/sys`.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::error::BenchError;

/// `/proc/PID/stat` counts in hundredths of a second, on every architecture that Linux runs Rust on.
const TICK: Duration = Duration::from_millis(10);
const SECTOR_BYTES: u64 = 512;

/// CPU time, user and system, of the processes with these ids since they began.
pub(crate) fn cpu(pids: &[u32]) -> Result<Duration, BenchError> {
    pids.iter().map(|pid| cpu_of(&read(format!("/proc/{pid}/stat"))?)).sum()
}

/// CPU time of this process.
pub(crate) fn own_cpu() -> Result<Duration, BenchError> {
    cpu_of(&read("/proc/self/stat")?)
}

/// CPU time of this process and of the children that it has waited for.
pub(crate) fn family_cpu() -> Result<Duration, BenchError> {
    let stat = read("/proc/self/stat")?;
    Ok(times_of(&stat)?.iter().sum())
}

/// CPU time that all work on the machine has taken since it started, interrupts included: a process's own time has them, too.
pub(crate) fn machine_cpu() -> Result<Duration, BenchError> {
    machine_cpu_of(&read("/proc/stat")?)
}

fn machine_cpu_of(stat: &str) -> Result<Duration, BenchError> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks: Vec<u32> = line
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map_while(|ticks| ticks.parse().ok())
        .collect();
    match ticks.as_slice() {
        [user, nice, system, _idle, _waiting, irq, soft_irq, ..] => {
            Ok([user, nice, system, irq, soft_irq].into_iter().map(|ticks| TICK * *ticks).sum())
        }
        _ => Err(BenchError::answer("/proc/stat is not what it was")),
    }
}

fn cpu_of(stat: &str) -> Result<Duration, BenchError> {
    let [user, system, ..] = times_of(stat)?;
    Ok(user + system)
}

/// Fields 14 to 17: utime and stime, of the process and of its waited-for children.
fn times_of(stat: &str) -> Result<[Duration; 4], BenchError> {
    // The second field is a name in parentheses that may hold blanks.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u32> = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map_while(|ticks| ticks.parse().ok())
        .collect();
    match ticks.as_slice() {
        [a, b, c, d] => Ok([a, b, c, d].map(|ticks| TICK * *ticks)),
        _ => Err(BenchError::answer("/proc/PID/stat is not what it was")),
    }
}

/// Resident memory of a process in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident_bytes: u64,
    /// The most ever.
    pub(crate) peak_bytes: u64,
}

/// Memory of the processes with these ids, added up.
pub(crate) fn memory(pids: &[u32]) -> Result<Memory, BenchError> {
    let mut total = Memory::default();
    for pid in pids {
        let status = read(format!("/proc/{pid}/status"))?;
        total.resident_bytes += field(&status, "VmRSS:").unwrap_or(0) * 1024;
        total.peak_bytes += field(&status, "VmHWM:").unwrap_or(0) * 1024;
    }
    Ok(total)
}

/// What a process holds of the kernel besides memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handles {
    /// Open file descriptors.
    pub(crate) files: u64,
    pub(crate) threads: u64,
}

/// Handles of the processes with these ids, added up.
pub(crate) fn handles(pids: &[u32]) -> Result<Handles, BenchError> {
    let count = |path: String| {
        fs::read_dir(&path).map(|list| list.count() as u64).map_err(BenchError::io(path))
    };
    let mut total = Handles::default();
    for pid in pids {
        total.files += count(format!("/proc/{pid}/fd"))?;
        total.threads += count(format!("/proc/{pid}/task"))?;
    }
    Ok(total)
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>, BenchError> {
    let list = read(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect())
}

/// What a block device has done since the machine started, for whoever asked.
///
/// Not `write_bytes` of `/proc/PID/io`: it counts whole folios of the page cache when a part of one is written, hundreds of
/// times too much for small writes into a file that was filled in large pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) written_bytes: u64,
    /// Cache flushes: what a sync costs a device.
    pub(crate) flushes: u64,
}

impl Device {
    /// What was done since `before`.
    pub(crate) fn since(self, before: Device) -> Device {
        Device {
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            flushes: self.flushes.saturating_sub(before.flushes),
        }
    }
}

/// Where the counters of the device that holds a folder stand; `None` for one that has none, such as a memory file system.
#[derive(Clone, Debug)]
pub(crate) struct DeviceCounters(Option<PathBuf>);

impl DeviceCounters {
    /// The device under `folder`.
    pub(crate) fn of(folder: &Path) -> DeviceCounters {
        DeviceCounters(device_folder(folder).map(|device| device.join("stat")))
    }

    /// The counters now.
    pub(crate) fn read(&self) -> Option<Device> {
        parse_device(&fs::read_to_string(self.0.as_ref()?).ok()?)
    }
}

/// The folder of a block device in `/sys`.
pub(crate) fn device_folder(folder: &Path) -> Option<PathBuf> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()
}

fn parse_device(stat: &str) -> Option<Device> {
    let fields: Vec<u64> =
        stat.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // Fields 7 (sectors written) and 16 (flushes), counted from one.
    Some(Device { written_bytes: fields.get(6)? * SECTOR_BYTES, flushes: *fields.get(15)? })
}

/// Bytes that a folder takes on its disk, holes not counted. Files that vanish meanwhile are left out.
pub(crate) fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
            Ok(found) => found.blocks() * SECTOR_BYTES,
            Err(_) => 0,
        })
        .sum()
}

/// The number after a label at the beginning of a line.
fn field(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn read(path: impl AsRef<Path>) -> Result<String, BenchError> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(BenchError::io(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "17 (tokio (rt) 1) S 1 17 17 0 -1 4194560 900 0 0 0 250 50 7 8 20 0 4 0 1 2 3";
        assert_eq!(cpu_of(stat).unwrap(), Duration::from_secs(3));
        assert_eq!(times_of(stat).unwrap().iter().sum::<Duration>(), Duration::from_millis(3_150));
        assert!(cpu_of("17 (short) S 1").is_err());
        assert!(cpu(&[std::process::id()]).is_ok());
    }

    #[test]
    fn the_machine_is_busy_with_programs_and_not_with_waiting() {
        let stat = "cpu  100 20 30 9999 888 77 66 5 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n";
        assert_eq!(machine_cpu_of(stat).unwrap(), Duration::from_millis(2_930));
        assert!(machine_cpu_of("intr 5").is_err());
        assert!(machine_cpu().unwrap() >= family_cpu().unwrap());
    }

    #[test]
    fn a_label_counts_only_at_the_beginning_of_its_line() {
        let status = "Name:\tVmRSS: 5\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n";
        assert_eq!(field(status, "VmHWM:"), Some(1234));
        assert_eq!(field(status, "VmRSS:"), Some(1000));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn device_counters_are_the_seventh_and_the_sixteenth_field() {
        let stat = "325416 40339 19811738 1017705 107196 90448 37126296 171145 0 74808 1204385 33919 56 19152608 12322 21762 3211";
        let device = parse_device(stat).unwrap();
        assert_eq!(device, Device { written_bytes: 37_126_296 * 512, flushes: 21_762 });
        assert_eq!(parse_device("1 2 3"), None);
    }

    #[test]
    fn a_file_that_is_opened_counts() {
        let pids = [std::process::id()];
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let handles = handles(&pids).unwrap();
        assert!(handles.files >= files.len() as u64 && handles.threads > 0);
    }

    #[test]
    fn memory_of_this_process_is_below_its_peak() {
        let memory = memory(&[std::process::id()]).unwrap();
        assert!(memory.resident_bytes > 0 && memory.resident_bytes <= memory.peak_bytes);
    }
}
