//! The command line.

use std::{path::PathBuf, time::Duration};

use crate::{error::BenchError, machine, wire::Signature};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Measures a release build of ossia against floors in the same run, and prints Markdown tables.

ossia-bench append | read | list | multipart | access | soak | overload [OPTIONS]

  --short              a few seconds in all; shows only that the harness works
  --part NAME          append: matrix, open, client or one-object; soak: small, large, mixed, or long,
                       which runs only when it is named; may be repeated [default: all others]
  --one-object         the same as --part one-object
  --record SIZE,...    append: record sizes of the matrix, such as 100,1k,16k,1m
  --connections N,...  append: connections of the matrix
  --objects N          list: how many objects [default: 1,000,000]
  --bytes SIZE         soak: how much to store in all, such as 512m [default: 20g]
  --live-bytes SIZE    soak: how much of it each store keeps alive [default: 2g]
  --minutes N          soak long: for how long [default: 120]
  --rate N             soak long: operations a second in all [default: 100]
  --keep               leave the data where it is, to be looked at
  --rounds N           rounds, of which tables show medians [default: 5]
  --seconds N          length of a round [default: 3]
  --signature V1|V4    of the requests [default: V1]
  --threads N          client threads [default: one per core]
  --ossia FILE         the server [default: ossia beside this program]
  --serve-arg ARG      one more argument for `ossia serve`; may be repeated
  --nginx FILE         nginx [default: from PATH or /usr/sbin]
  --data DIR           where to put the data [default: target/bench]
  --out DIR            where to write NAME.md and NAME.jsonl [default: target/bench]
  --update FILE        also replace the part of this document between <!-- bench NAME --> and <!-- end NAME -->
";

/// Which bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Append,
    Read,
    List,
    Multipart,
    Access,
    Soak,
    Overload,
    /// Not a bench: the floor that runs in a process of its own.
    Handler,
}

impl Name {
    /// As on the command line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Name::Append => "append",
            Name::Read => "read",
            Name::List => "list",
            Name::Multipart => "multipart",
            Name::Access => "access",
            Name::Soak => "soak",
            Name::Overload => "overload",
            Name::Handler => "handler",
        }
    }
}

/// A part of `append` or `soak`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Matrix,
    Open,
    Client,
    OneObject,
    /// Of `soak`: records of 1 KiB, of 1 MiB, of many sizes.
    Small,
    Large,
    Mixed,
    /// Of `soak`: for hours at a modest rate. It is not among all parts: it must be asked for.
    Long,
}

/// All options.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) name: Name,
    pub(crate) short: bool,
    pub(crate) parts: Vec<Part>,
    pub(crate) records: Vec<usize>,
    pub(crate) connections: Vec<usize>,
    pub(crate) objects: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) live_bytes: Option<u64>,
    pub(crate) minutes: Option<f64>,
    pub(crate) rate: Option<f64>,
    pub(crate) keep: bool,
    rounds: Option<usize>,
    seconds: Option<f64>,
    pub(crate) signature: Signature,
    pub(crate) threads: usize,
    pub(crate) ossia: Option<PathBuf>,
    pub(crate) serve_args: Vec<String>,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) data: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) update: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Options, BenchError> {
        let mut arguments = arguments.into_iter();
        let mut options = Options::defaults(name(arguments.next())?);
        while let Some(option) = arguments.next() {
            let mut value = || {
                arguments.next().ok_or_else(|| BenchError::Usage(format!("{option} needs a value")))
            };
            match option.as_str() {
                "--short" => options.short = true,
                "--one-object" => options.parts.push(Part::OneObject),
                "--part" => options.parts.push(part(&value()?)?),
                "--record" => options.records = list(&value()?, record)?,
                "--connections" => options.connections = list(&value()?, number)?,
                "--objects" => options.objects = Some(number(&value()?)?),
                "--bytes" => options.bytes = Some(size(&value()?)?),
                "--live-bytes" => options.live_bytes = Some(size(&value()?)?),
                "--minutes" => options.minutes = Some(positive(&value()?)?),
                "--rate" => options.rate = Some(positive(&value()?)?),
                "--keep" => options.keep = true,
                "--rounds" => options.rounds = Some(number(&value()?)?),
                "--seconds" => options.seconds = Some(positive(&value()?)?),
                "--signature" => options.signature = signature(&value()?)?,
                "--threads" => options.threads = number(&value()?)?,
                "--ossia" => options.ossia = Some(value()?.into()),
                "--serve-arg" => options.serve_args.push(value()?),
                "--nginx" => options.nginx = Some(value()?.into()),
                "--data" => options.data = value()?.into(),
                "--out" => options.out = value()?.into(),
                "--update" => options.update = Some(value()?.into()),
                other => return Err(BenchError::Usage(format!("there is no option {other}"))),
            }
        }
        Ok(options)
    }

    fn defaults(name: Name) -> Options {
        Options {
            name,
            short: false,
            parts: Vec::new(),
            records: Vec::new(),
            connections: Vec::new(),
            objects: None,
            bytes: None,
            live_bytes: None,
            minutes: None,
            rate: None,
            keep: false,
            rounds: None,
            seconds: None,
            signature: Signature::V1,
            threads: machine::cores(),
            ossia: None,
            serve_args: Vec::new(),
            nginx: None,
            data: PathBuf::from("target/bench"),
            out: PathBuf::from("target/bench"),
            update: None,
        }
    }

    /// How often each figure is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { 1 } else { 5 })
    }

    /// For how long each time.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(if self.short { 0.2 } else { 3.0 }))
    }

    /// The load before each time.
    pub(crate) fn warm_up(&self) -> Duration {
        self.window().mul_f64(0.2)
    }

    /// One value for a real run, another for a short one.
    pub(crate) fn pick<T>(&self, full: T, short: T) -> T {
        if self.short { short } else { full }
    }

    /// Whether this part is wanted.
    pub(crate) fn wants(&self, part: Part) -> bool {
        (self.parts.is_empty() && part != Part::Long) || self.parts.contains(&part)
    }
}

fn name(text: Option<String>) -> Result<Name, BenchError> {
    match text.as_deref() {
        Some("append") => Ok(Name::Append),
        Some("read") => Ok(Name::Read),
        Some("list") => Ok(Name::List),
        Some("multipart") => Ok(Name::Multipart),
        Some("access") => Ok(Name::Access),
        Some("soak") => Ok(Name::Soak),
        Some("overload") => Ok(Name::Overload),
        Some("handler") => Ok(Name::Handler),
        Some(other) => Err(BenchError::Usage(format!("there is no bench {other}"))),
        None => Err(BenchError::Usage(HELP.to_owned())),
    }
}

fn part(text: &str) -> Result<Part, BenchError> {
    match text {
        "matrix" => Ok(Part::Matrix),
        "open" => Ok(Part::Open),
        "client" => Ok(Part::Client),
        "one-object" => Ok(Part::OneObject),
        "small" => Ok(Part::Small),
        "large" => Ok(Part::Large),
        "mixed" => Ok(Part::Mixed),
        "long" => Ok(Part::Long),
        other => Err(BenchError::Usage(format!("there is no part {other}"))),
    }
}

fn signature(text: &str) -> Result<Signature, BenchError> {
    match text {
        "V1" | "v1" => Ok(Signature::V1),
        "V4" | "v4" => Ok(Signature::V4),
        other => Err(BenchError::Usage(format!("{other} is neither V1 nor V4"))),
    }
}

fn list<T>(text: &str, one: impl Fn(&str) -> Result<T, BenchError>) -> Result<Vec<T>, BenchError> {
    text.split(',').map(one).collect()
}

/// A number above zero.
fn number<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<T, BenchError> {
    match text.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(BenchError::Usage(format!("{text} is no number above zero"))),
    }
}

fn positive(text: &str) -> Result<f64, BenchError> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err(BenchError::Usage(format!("{text} is no number above zero"))),
    }
}

/// `100`, `16k`, `1m`, `2g`: bytes.
fn size(text: &str) -> Result<u64, BenchError> {
    let units = [(['k', 'K'], 1 << 10), (['m', 'M'], 1 << 20), (['g', 'G'], 1 << 30)];
    let found = units.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (digits, unit) = found.unwrap_or((text, 1_u64));
    let bytes = number::<u64>(digits)?.checked_mul(unit);
    bytes.ok_or_else(|| BenchError::Usage(format!("{text} is too much")))
}

/// A size of at most a piece of the pattern.
fn record(text: &str) -> Result<usize, BenchError> {
    let bytes = usize::try_from(size(text)?).ok();
    bytes
        .filter(|bytes| *bytes <= crate::pattern::PIECE_MAX)
        .ok_or_else(|| BenchError::Usage(format!("a record of {text} is too long")))
}

/// A size as people write it: `1 KiB`.
pub(crate) fn human(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, BenchError> {
        Options::parse(line.split_ascii_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_and_the_rest_is_by_default() {
        let line =
            "append --short --record 100,16k,1m --connections 1,64 --signature V4 --one-object";
        let options = parse(line).unwrap();
        assert_eq!(options.records, [100, 16 << 10, 1 << 20]);
        assert_eq!(options.connections, [1, 64]);
        assert_eq!((options.signature, options.rounds()), (Signature::V4, 1));
        assert!(options.wants(Part::OneObject) && !options.wants(Part::Matrix));
        let options = parse("read --rounds 3 --seconds 0.5").unwrap();
        assert_eq!((options.rounds(), options.window()), (3, Duration::from_millis(500)));
        assert_eq!(parse("soak --bytes 3g").unwrap().bytes, Some(3 << 30));
        assert!(options.wants(Part::Matrix), "without a choice all parts are wanted");
        assert!(!options.wants(Part::Long), "hours are spent only when they are asked for");
        let options = parse("soak --part long --minutes 0.5 --rate 100 --keep").unwrap();
        assert!(options.wants(Part::Long) && options.keep && !options.wants(Part::Mixed));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "",
            "apend",
            "append --part all",
            "append --record 2m",
            "append --record 0",
            "soak --bytes 20t",
            "soak --bytes 99999999999g",
            "append --rounds",
            "append --rounds 0",
            "append --seconds -1",
            "append --seconds inf",
            "append --signature V3",
            "append --fast",
        ] {
            assert!(matches!(parse(line), Err(BenchError::Usage(_))), "{line}");
        }
    }

    #[test]
    fn sizes_are_shown_as_people_write_them() {
        let shown = [100, 1 << 10, 1_500, 16 << 20, 1 << 30].map(human);
        assert_eq!(shown, ["100 B", "1 KiB", "1500 B", "16 MiB", "1 GiB"]);
    }
}
