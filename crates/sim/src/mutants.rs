//! Whether the harness finds what it is for: each planted fault, within so many runs.

use std::process::Command;
use std::time::Instant;

use ossia_sim::cuts::{self, Plan};
use ossia_sim::random::Random;
use ossia_sim::scenarios;

use crate::{Choice, Tests};

/// Runs within which each must be found. A run is a power cut, or a scenario.
const RUNS_MAX: u64 = 200;
/// Found too, but by a rare turn of luck: a test that runs for every change must be short and sure.
const CHANCY: [&str; 1] = ["torn-group-served"];
/// The variable that switches a fault on.
const VARIABLE: &str = "OSSIA_MUTANT";

/// A planted fault, as `ossia mutants` lists it.
struct Mutant {
    name: String,
    seen_by: String,
    what: String,
}

/// Looks for those that are asked for.
pub(crate) fn run(choice: &Choice, names: &str, tests: &mut Tests) -> Result<(), String> {
    let mut mutants = list(choice)?;
    match names.parse::<usize>() {
        Ok(count) => mutants = some(mutants, count, &choice.commit),
        Err(_) if names.is_empty() => {}
        Err(_) => {
            let wanted: Vec<&str> = names.split(',').collect();
            let all: Vec<String> = mutants.iter().map(|mutant| mutant.name.clone()).collect();
            if let Some(unknown) = wanted.iter().find(|name| !all.iter().any(|n| n == *name)) {
                return Err(format!("{unknown} is no planted fault; there are {}", all.join(", ")));
            }
            mutants.retain(|mutant| wanted.contains(&mutant.name.as_str()));
        }
    }
    for mutant in &mutants {
        let began = Instant::now();
        let found = look(choice, mutant)?;
        let name = match &found {
            Some((runs, how)) => format!("{} is found in run {runs}: {how}", mutant.name),
            None => format!("{} is found", mutant.name),
        };
        let missed = format!("not found in {RUNS_MAX} runs: {}", mutant.what);
        tests.told(&name, began, found.is_none().then_some(&missed));
    }
    Ok(())
}

fn list(choice: &Choice) -> Result<Vec<Mutant>, String> {
    let output = Command::new(&choice.binary).arg("mutants").output();
    let output = output.map_err(|error| format!("{}: {error}", choice.binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mutants: Vec<Mutant> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.split('\t').map(str::to_owned);
            Some(Mutant { name: parts.next()?, seen_by: parts.next()?, what: parts.next()? })
        })
        .collect();
    if mutants.is_empty() {
        return Err("the binary has no planted faults: build it with the feature `mutants`".into());
    }
    Ok(mutants)
}

/// So many of them, others for another commit.
fn some(mut mutants: Vec<Mutant>, count: usize, commit: &str) -> Vec<Mutant> {
    let hash = commit.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = Random::new(hash);
    let mut chosen = Vec::new();
    mutants.retain(|mutant| !CHANCY.contains(&mutant.name.as_str()));
    while chosen.len() < count && !mutants.is_empty() {
        let at = random.below(mutants.len() as u64) as usize;
        chosen.push(mutants.swap_remove(at));
    }
    chosen
}

/// The run in which the fault was found, and by what.
fn look(choice: &Choice, mutant: &Mutant) -> Result<Option<(u64, String)>, String> {
    let environment = vec![(VARIABLE.to_owned(), mutant.name.clone())];
    let first = |wrong: &str| wrong.lines().next().unwrap_or_default().to_owned();
    let scenario = match mutant.seen_by.as_str() {
        seen if seen.contains("sync fault") => Some(scenarios::FAILED_SYNC),
        seen if seen.contains("download") => Some(scenarios::DOWNLOAD),
        _ => None,
    };
    let mut runs = 0;
    let mut seed = choice.seed;
    while runs < RUNS_MAX {
        if let Some(name) = scenario {
            runs += 1;
            let scenario = scenarios::ALL.iter().find(|scenario| scenario.name == name);
            let scenario = scenario.ok_or("there is no such scenario")?;
            if let Err(wrong) = scenario.run(&choice.binary, &environment, seed) {
                println!("seed {seed}: {wrong}");
                return Ok(Some((runs, first(&wrong))));
            }
        } else {
            let plan = Plan {
                binary: choice.binary.clone(),
                environment: environment.clone(),
                cuts: RUNS_MAX,
                seed,
                settings: choice.settings,
            };
            let found = cuts::run(&plan).map_err(|error| error.to_string())?;
            runs += found.cuts.max(1);
            if let Some(wrong) = found.wrong {
                println!("seed {seed}: {wrong}");
                return Ok(Some((runs, first(&wrong))));
            }
        }
        seed = seed.wrapping_add(1);
    }
    Ok(None)
}
