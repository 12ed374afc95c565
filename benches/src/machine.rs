//! Where a bench ran: read from the system at run time, so that no table can be without it.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{error::BenchError, proc};

/// Machine, disk and commit, each with its label.
pub(crate) fn facts(data: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("machine", machine()),
        ("kernel", line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown)),
        ("disk", disk(data)),
        ("load average at the start", load_average()),
        ("commit", commit()),
    ]
}

/// Who used the machine's processors while a bench ran.
#[derive(Debug)]
pub(crate) struct Bystanders {
    begun: Instant,
    machine: Duration,
    family: Duration,
}

impl Bystanders {
    /// From now on.
    pub(crate) fn watch() -> Result<Bystanders, BenchError> {
        let (machine, family) = (proc::machine_cpu()?, proc::family_cpu()?);
        Ok(Bystanders { begun: Instant::now(), machine, family })
    }

    /// The share of all processors that others used, in percent. The servers under test must have been stopped: of children,
    /// only those count as ours that have ended.
    pub(crate) fn percent(&self) -> Result<f64, BenchError> {
        let all = proc::machine_cpu()?.saturating_sub(self.machine);
        let ours = proc::family_cpu()?.saturating_sub(self.family);
        let most = self.begun.elapsed().as_secs_f64() * cores() as f64;
        Ok(all.saturating_sub(ours).as_secs_f64() / most * 100.0)
    }
}

/// How many processors this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

fn machine() -> String {
    let value = |text: &str, label: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(label))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let model = value(&cpu, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let gib = value(&memory, "MemTotal")
        .and_then(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(unknown, |kib| format!("{:.0} GiB", kib / 1_048_576.0));
    format!("{model}, {} cores, {gib} of memory", cores())
}

fn load_average() -> String {
    line("/proc/loadavg")
        .and_then(|line| Some(line.split_ascii_whitespace().next()?.to_owned()))
        .unwrap_or_else(unknown)
}

fn disk(data: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let data = fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
    let (device, kind) = mount_of(&mounts, &data).unwrap_or(("unknown", "unknown"));
    let driver = proc::device_folder(&data)
        .and_then(|device| {
            let words: Vec<String> =
                device.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            words.into_iter().find(|word| word.starts_with("virtio") || word.starts_with("nvme"))
        })
        .map_or_else(String::new, |driver| format!(" ({driver})"));
    format!("{kind} on {device}{driver}")
}

/// Device and file system of the innermost mount that holds `path`.
fn mount_of<'m>(mounts: &'m str, path: &Path) -> Option<(&'m str, &'m str)> {
    let mut best: Option<(usize, (&str, &str))> = None;
    for line in mounts.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(device), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // Of mounts at one point the last one counts.
        if path.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), (device, kind)));
        }
    }
    best.map(|(_, found)| found)
}

/// The commit of the tree that the bench is run in, and whether the tree had changes.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        None => unknown(),
        Some(commit) => match git(&["status", "--porcelain"]) {
            Some(changes) if changes.is_empty() => commit,
            _ => format!("{commit} with uncommitted changes"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_holds_a_folder() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk xfs rw 0 0\n";
        let of = |path: &str| mount_of(mounts, Path::new(path));
        assert_eq!(of("/srv/a"), Some(("/dev/vda", "ext4")));
        assert_eq!(of("/tmp/a"), Some(("tmpfs", "tmpfs")));
        assert_eq!(of("/tmp/disk/a"), Some(("/dev/vdb", "xfs")));
        assert_eq!(of("/tmp/diskette"), Some(("tmpfs", "tmpfs")));
    }

    #[test]
    fn every_fact_is_there() {
        for (name, value) in facts(Path::new(".")) {
            assert!(!value.is_empty(), "{name}");
        }
    }
}
