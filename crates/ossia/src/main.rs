//! The `ossia` program: `ossia serve` joins the server and an engine, everything else is the command line's.
//!
//! It owns the wiring and the process: arguments of `serve`, logs, signals, exit codes. Nothing else names an engine.

mod allocator;
mod archive;
mod backup;
mod check;
mod control;
mod figures;
mod files;
mod keyfile;
mod master_key;
mod serve;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Requests allocate on one thread and free on another, hundreds of thousands of times a second, which the C library's allocator
/// is not made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An object store that speaks the Alibaba Cloud OSS protocol, built around append.
#[derive(Debug, Parser)]
#[command(name = "ossia", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Top,
}

#[derive(Debug, Subcommand)]
enum Top {
    /// Run a server
    ///
    /// Settings come from the defaults, a TOML file (--config), the environment (OSSIA_LISTEN, OSSIA_APPEND__MAX_BYTES, ...),
    /// --set and the flags below; later ones win. The root key comes from OSSIA_ACCESS_KEY_ID and OSSIA_ACCESS_KEY_SECRET, or is
    /// made at the first start. OSSIA_LOG sets what is logged to standard error (default: info).
    ///
    /// Exit codes: 0 stopped by a signal, 1 failed, 2 wrong arguments or settings, 3 the data folder is in use, 4 stored data is
    /// damaged.
    Serve(serve::ServeArgs),
    /// List the faults that this build can be made to have, by name: what should see each, and what it is
    #[cfg(feature = "mutants")]
    Mutants,
    /// Check a data folder: every record, every object, every byte
    ///
    /// For a folder that no server has open; a running server looks after its own, see scrub in docs/settings.toml. Nothing in
    /// the folder is changed, whatever is found. What a start would replay is replayed in a scratch folder (TMPDIR).
    ///
    /// Exit codes: 0 clean, 1 something was found, 2 wrong arguments or the check could not be done, 3 a server has the folder.
    Check(check::CheckArgs),
    /// Back a store up, while its server runs or not
    ///
    /// BACKUP holds any number of backups of one store, which share what they have in common: only what is new is copied. A backup
    /// is of one moment: it holds everything that was acknowledged before it began. It gets its name when all of it is durable, so
    /// one that was interrupted does not count, and the next one uses what it has copied. Secrets of keys are sealed in it, and the
    /// master key file that opens them is not in it: keep a copy of that apart.
    ///
    /// Exit codes: 0 done, 1 failed or damaged, 2 wrong arguments, 3 the server that has the folder does not answer.
    Backup(backup::BackupArgs),
    /// Make a data folder of a backup
    ///
    /// Every file is compared with its checksum. Exit codes: 0 done and checked, 1 failed or damaged, 2 wrong arguments.
    Restore(backup::RestoreArgs),
    /// Tell what each bucket holds, of a running server or a data folder
    ///
    /// Objects and bytes by storage class and type, bytes that were let go and whose room is still to be given back, and what the
    /// parts of the data folder take on the disk. Costs a scan of all records, and no byte of content.
    ///
    /// Exit codes: 0 done, 2 wrong arguments or failed, 3 the server that has the folder does not answer.
    Usage(usage::UsageArgs),
    /// Look at the file with the master keys, or add a key to it
    ///
    /// What is encrypted at rest is under a key of its own, and that under a master key. The file is the only copy of these.
    MasterKey(master_key::MasterKeyArgs),
    #[command(flatten)]
    Client(ossia_cli::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if matches!(arguments.command, Top::Serve(_)) {
        // Before there is any thread.
        allocator::give_memory_back_at_once();
    }
    #[cfg(feature = "mutants")]
    if let Some(mutant) = ossia_store::mutants::chosen() {
        eprintln!("ossia: THIS PROCESS HAS A PLANTED FAULT: {}", mutant.name());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ossia: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match arguments.command {
        Top::Serve(arguments) => runtime.block_on(serve::run(arguments)),
        #[cfg(feature = "mutants")]
        Top::Mutants => list_mutants(),
        Top::Check(arguments) => runtime.block_on(check::run(arguments)),
        Top::Backup(arguments) => runtime.block_on(backup::run(arguments)),
        Top::Restore(arguments) => runtime.block_on(backup::restore(arguments)),
        Top::Usage(arguments) => runtime.block_on(usage::run(arguments)),
        Top::MasterKey(arguments) => master_key::run(&arguments),
        Top::Client(command) => runtime.block_on(ossia_cli::run(command)),
    }
}

#[cfg(feature = "mutants")]
fn list_mutants() -> ExitCode {
    for mutant in ossia_store::mutants::Mutant::ALL {
        println!("{}\t{}\t{}", mutant.name(), mutant.seen_by(), mutant.what().trim());
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
