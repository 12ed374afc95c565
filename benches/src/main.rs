//! `ossia-bench`: a load generator, and the floors that its figures stand beside.
//!
//! It starts the release build of the server as a child, on a folder of the disk under test, loads it over loopback, and measures in
//! the same run what the machine can do at best (see `floors`). It looks at the server from outside only: HTTP, `/proc`, the
//! disk.
//!
//! | file | owns |
//! |---|---|
//! | `commands/` | the benches: what is loaded, which tables come out |
//! | `floors/` | what the server is compared with |
//! | `measure.rs` | subjects, rounds, medians, aims |
//! | `load.rs`, `schedule.rs` | closed and open loop |
//! | `workloads.rs`, `wire.rs`, `pattern.rs` | operations, HTTP/1.1 with signatures, the bytes |
//! | `child.rs`, `proc.rs`, `machine.rs` | processes, what they used, where all this ran |
//! | `stats.rs`, `report.rs` | percentiles and medians; Markdown and JSON lines |
//!
//! Nothing here fails because something is slow: an error means that the harness or the server is broken.

mod child;
mod commands;
mod error;
mod floors;
mod load;
mod machine;
mod measure;
mod options;
mod pattern;
mod proc;
mod report;
mod schedule;
mod stats;
mod wire;
mod workloads;

use std::process::ExitCode;

use crate::{
    error::BenchError,
    machine::Bystanders,
    measure::Bench,
    options::{HELP, Name, Options},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match Options::parse(arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(BenchError::Usage(text)) => {
            eprintln!("ossia-bench: {text}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("ossia-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), BenchError> {
    let bench = match options.name {
        Name::Append => commands::append::run,
        Name::Read => commands::read::run,
        Name::List => commands::list::run,
        Name::Multipart => commands::multipart::run,
        Name::Access => commands::access::run,
        Name::Soak => commands::soak::run,
        Name::Overload => commands::overload::run,
        Name::Handler => {
            return floors::handler::serve(&options.data, measure::floor_bytes(&options));
        }
    };
    child::clean_up_on_signals()?;
    let bystanders = Bystanders::watch()?;
    let mut surroundings = Bench::new(options.name.text(), options)?;
    bench(&mut surroundings)?;
    let Bench { options, report, .. } = &mut surroundings;
    report.sentence(&format!(
        "Other programs used {:.0} % of the processors meanwhile.",
        bystanders.percent()?
    ));
    report.save(&options.out, options.update.as_deref())
}
