//! Runs cases and prints a line for each, in the form that `cargo xtask` reads:
//! `ok - SDK SIGNATURE ADDRESSING / case`, `not ok - … / case: why`, `skip - … / case: why`.

use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long one case may take.
const CASE_MAX: Duration = Duration::from_secs(60);

/// Why a case failed, in words.
pub type Failure = Box<dyn std::error::Error>;

/// What the closing line says.
#[derive(Default)]
pub struct Totals {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Totals {
    /// Prints the closing line and gives the exit code.
    pub fn close(&self) -> ExitCode {
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// One signature version and one way of addressing.
pub struct Room<'a> {
    label: String,
    totals: &'a mut Totals,
}

impl<'a> Room<'a> {
    pub fn new(label: String, totals: &'a mut Totals) -> Self {
        Self { label, totals }
    }

    pub async fn run(&mut self, name: &str, body: impl Future<Output = Result<(), Failure>>) {
        if let Err(error) = announce(&format!("{} / {name}", self.label)) {
            eprintln!("{error}");
        }
        match tokio::time::timeout(CASE_MAX, body).await {
            Ok(Ok(())) => {
                self.totals.passed += 1;
                println!("ok - {} / {name}", self.label);
            }
            Ok(Err(error)) => self.failed(name, &error.to_string()),
            Err(_) => self.failed(name, "no answer in time"),
        }
    }

    pub fn failed(&mut self, name: &str, why: &str) {
        self.totals.failed += 1;
        let why: Vec<&str> = why.split_whitespace().collect();
        println!("not ok - {} / {name}: {}", self.label, why.join(" "));
    }

    pub fn skip(&mut self, name: &str, why: &str) {
        self.totals.skipped += 1;
        println!("skip - {} / {name}: {why}", self.label);
    }
}

/// Tells the server's log which case comes next, so that it says what each case did.
fn announce(case: &str) -> Result<(), Failure> {
    let port: u16 = std::env::var("OSSIA_PORT")?.parse()?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(CASE_MAX))?;
    let request = format!(
        "GET /_ossia/health HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: case: {case}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Fails with both values unless they are the same.
pub fn equal<T: PartialEq + std::fmt::Debug>(
    about: impl Display,
    got: T,
    want: T,
) -> Result<(), Failure> {
    if got == want {
        Ok(())
    } else {
        Err(format!("{about}: expected {want:?}, got {got:?}").into())
    }
}

/// Expects an error of the service that carries this OSS code.
pub fn refused<T>(code: &str, outcome: opendal::Result<T>) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Err(format!("expected {code}, but it succeeded").into()),
        Err(error) if error.to_string().contains(code) => Ok(()),
        Err(error) => Err(format!("expected {code}, got {error}").into()),
    }
}
