//! `ossia-sim`: power cuts and failing disks under a server binary.

use std::path::PathBuf;
use std::process::ExitCode;

use ossia_sim::cuts::{self, Plan};
use ossia_sim::random::Random;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut plan = Plan {
        binary: PathBuf::from("target/release/ossia"),
        environment: Vec::new(),
        cuts: 100,
        seed: Random::fresh_seed().unwrap_or_default(),
        settings: None,
    };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--ossia" => plan.binary = value.into(),
            "--cuts" => plan.cuts = value.parse().unwrap_or(100),
            "--seed" => plan.seed = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    println!("seed {}", plan.seed);
    if std::env::var_os("SCENARIOS").is_some() {
        let only = std::env::var("SCENARIOS").unwrap_or_default();
        for scenario in &ossia_sim::scenarios::ALL {
            if scenario.name.contains(&only) {
                let begin = std::time::Instant::now();
                let ended = scenario.run(&plan.binary, &[], plan.seed);
                let took = begin.elapsed().as_secs_f64();
                match ended {
                    Ok(()) => println!("ok - {} ({took:.1} s)", scenario.name),
                    Err(wrong) => println!("not ok - {} ({took:.1} s)\n{wrong}", scenario.name),
                }
            }
        }
        return ExitCode::SUCCESS;
    }
    let begin = std::time::Instant::now();
    let found = cuts::run(&plan);
    println!("{:?} {:.1} s", found, begin.elapsed().as_secs_f64());
    match found {
        Ok(found) => {
            if let Some(wrong) = found.wrong {
                println!("{wrong}");
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}
