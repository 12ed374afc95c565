//! Every bench in its short form: it shows that harness and server get through, never how fast they are.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::report::Totals;
use crate::{Outcome, check, process, tree};

const BENCHES: [&str; 7] = ["append", "read", "list", "multipart", "access", "soak", "overload"];
/// A short bench takes a few seconds; a machine under other load some more.
const BENCH_MAX: Duration = Duration::from_secs(180);
/// Where Debian puts nginx, which not every user's path names.
const NGINX: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// Runs them all with this server, and counts them.
pub(crate) fn run(binary: &Path, remarks: &mut Vec<String>) -> Outcome<Totals> {
    let mut build = check::cargo(&["build", "--release", "--locked", "-p", "ossia-benches"]);
    if !process::succeeds(&mut build)? {
        return Err("the benches do not build".to_owned());
    }
    let mut totals = Totals::default();
    if !NGINX.iter().any(|program| process::is_present(program, &["-v"])) {
        remarks.push("nginx is absent: reads stand beside nothing".to_owned());
        let required = std::env::var("OSSIA_REQUIRE_ALL").is_ok_and(|value| value == "1");
        totals.add(if required { Totals::failure() } else { Totals::skip() });
    }
    let folder = tree::target().join("bench/short");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in BENCHES {
        let good = one(name, binary, &folder)?;
        totals.add(if good {
            Totals { passed: 1, ..Totals::default() }
        } else {
            remarks.push(format!("to repeat: cargo xtask bench {name} --short"));
            Totals::failure()
        });
    }
    Ok(totals)
}

fn one(name: &str, binary: &Path, folder: &Path) -> Outcome<bool> {
    let program = tree::target().join("release/ossia-bench");
    let mut command = Command::new(program);
    command.args([name, "--short", "--ossia"]).arg(binary);
    command.arg("--data").arg(folder).arg("--out").arg(folder).current_dir(tree::root());
    println!("$ {}", process::shown(&command));
    let log = folder.join(format!("{name}.log"));
    let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let copy = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
    let ended = process::to_end(command.stdout(file).stderr(copy), BENCH_MAX, |_| {});
    if matches!(&ended, Ok(status) if status.success()) {
        return Ok(true);
    }
    println!("{name}: {ended:?}\n{}", process::tail(&log, 20));
    Ok(false)
}
