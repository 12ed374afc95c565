//! The SDK programs under `compat/`: what each needs, how it is prepared below `target/compat`, how it is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Outcome, process, tree};

/// A base domain and a bound name that the servers under test know, and nobody resolves.
pub(crate) const DOMAIN: &str = "ossia.test";
pub(crate) const CNAME_HOST: &str = "cname.test";
pub(crate) const CNAME_BUCKET: &str = "compat-cname";

const DOWNLOAD_MAX: Duration = Duration::from_secs(600);
/// Pinned like the SDKs themselves.
const MAVEN_COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// Of a file that holds nothing secret, because there must be one.
const TRUST_PASSWORD: &str = "trusted";

/// A runtime with its SDKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Node,
    Python,
    Go,
    Java,
    Opendal,
    Ossutil,
    Browser,
}

impl Suite {
    pub(crate) const ALL: [Suite; 7] = [
        Suite::Node,
        Suite::Python,
        Suite::Go,
        Suite::Java,
        Suite::Opendal,
        Suite::Ossutil,
        Suite::Browser,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Suite::Node => "node",
            Suite::Python => "python",
            Suite::Go => "go",
            Suite::Java => "java",
            Suite::Opendal => "opendal",
            Suite::Ossutil => "ossutil",
            Suite::Browser => "browser",
        }
    }

    /// The first program of this runtime that is absent.
    pub(crate) fn absent(self) -> Option<&'static str> {
        let programs: &[(&str, &[&str])] = match self {
            Suite::Node => &[("node", &["--version"]), ("npm", &["--version"])],
            Suite::Python => &[("python3", &["-c", "import venv, ensurepip"])],
            Suite::Go => &[("go", &["version"])],
            Suite::Java => &[("javac", &["--version"]), ("mvn", &["--version"])],
            Suite::Opendal => &[],
            Suite::Ossutil => &[("go", &["version"]), ("python3", &["--version"])],
            Suite::Browser => {
                &[("node", &["--version"]), ("npm", &["--version"]), ("chromium", &["--version"])]
            }
        };
        programs
            .iter()
            .find(|(program, test)| !process::is_present(program, test))
            .map(|(name, _)| *name)
    }

    /// What its server is started with, besides address and folder. Where SDKs take `localhost` for path style by
    /// themselves, virtual hosts need a base domain; the others see what a server without one advertises.
    pub(crate) fn server_arguments(self) -> Vec<String> {
        let mut arguments = vec!["--cname".to_owned(), format!("{CNAME_HOST}={CNAME_BUCKET}")];
        // The application servers of the tests.
        arguments.extend(["--set".to_owned(), "callback.allowed=127.0.0.1".to_owned()]);
        // Temporary credentials that a test can see the end of.
        arguments.extend(["--set".to_owned(), "ram.session_seconds_min=1".to_owned()]);
        // A log that comes while a case empties its bucket would keep the bucket.
        arguments.extend(["--set".to_owned(), "logging.flush_ms=3600000".to_owned()]);
        if matches!(self, Suite::Python | Suite::Java) {
            arguments.extend(["--domain".to_owned(), DOMAIN.to_owned()]);
        }
        arguments
    }

    /// What its server is started with beside that, to speak TLS.
    pub(crate) fn tls_arguments(self) -> Vec<String> {
        let file = |name: &str| tls_file(name).display().to_string();
        let mut arguments = ["--tls-cert", &file("server.pem"), "--tls-key", &file("server.key")]
            .map(str::to_owned)
            .to_vec();
        // Its SDK takes no certificate for every name below `localhost`.
        if self == Suite::Node {
            arguments.extend(["--domain".to_owned(), DOMAIN.to_owned()]);
        }
        arguments
    }

    /// Makes the program of [`Suite::program`] speak TLS, and trust the server's certificate.
    pub(crate) fn trust(self, command: &mut Command) -> Outcome<()> {
        let ca = tls_file("ca.pem");
        command.env("OSSIA_SCHEME", "https").env("OSSIA_CA", &ca);
        match self {
            Suite::Node | Suite::Browser => command.env("NODE_EXTRA_CA_CERTS", &ca),
            Suite::Python => command.env("REQUESTS_CA_BUNDLE", &ca).env("SSL_CERT_FILE", &ca),
            Suite::Java => {
                let store = self.folder().join("trust.p12");
                let _ = fs::remove_file(&store);
                let mut keytool = Command::new("keytool");
                keytool.args([
                    "-importcert",
                    "-noprompt",
                    "-alias",
                    "ossia",
                    "-storetype",
                    "PKCS12",
                ]);
                keytool.args(["-storepass", TRUST_PASSWORD, "-keystore"]).arg(&store);
                keytool.arg("-file").arg(&ca);
                if !process::succeeds(&mut keytool)? {
                    return Err("no store of trusted certificates could be made".to_owned());
                }
                let options = format!(
                    "-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword={TRUST_PASSWORD}",
                    store.display()
                );
                command.env("JDK_JAVA_OPTIONS", options)
            }
            Suite::Go | Suite::Opendal | Suite::Ossutil => command.env("SSL_CERT_FILE", &ca),
        };
        Ok(())
    }

    fn source(self) -> PathBuf {
        tree::root().join("compat").join(self.name())
    }

    /// The folder for everything this suite makes.
    pub(crate) fn folder(self) -> PathBuf {
        tree::target().join("compat").join(self.name())
    }

    /// The file that pins what is downloaded: as long as it is the same, nothing is downloaded again.
    fn lock(self) -> PathBuf {
        // The page's SDK is in the same package as Node's.
        if self == Suite::Browser {
            return Suite::Node.lock();
        }
        self.source().join(match self {
            Suite::Node | Suite::Browser => "package-lock.json",
            Suite::Python => "requirements.txt",
            Suite::Go | Suite::Ossutil => "go.sum",
            Suite::Java => "pom.xml",
            Suite::Opendal => "Cargo.lock",
        })
    }

    /// Downloads and builds, below [`Suite::folder`] alone.
    pub(crate) fn prepare(self) -> Outcome<()> {
        let folder = self.folder();
        make(&folder)?;
        if self == Suite::Browser {
            return Suite::Node.prepare();
        }
        let stamp = folder.join("prepared");
        let lock = read(&self.lock())?;
        if fs::read(&stamp).is_ok_and(|old| old == lock) && self.is_installed() {
            return self.build();
        }
        let _ = fs::remove_file(&stamp);
        self.install()?;
        write(&stamp, &lock)?;
        self.build()
    }

    /// Whether what [`Suite::install`] brings is still there.
    fn is_installed(self) -> bool {
        let folder = self.folder();
        match self {
            Suite::Node | Suite::Browser => ali_oss().is_dir(),
            Suite::Python => folder.join("venv/bin/python").exists(),
            Suite::Java => folder.join("lib").is_dir(),
            Suite::Go | Suite::Opendal | Suite::Ossutil => true,
        }
    }

    fn install(self) -> Outcome<()> {
        let (folder, source) = (self.folder(), self.source());
        let log = folder.join("install.log");
        let download = |step: &dyn Fn() -> Command| process::download(step, &log, DOWNLOAD_MAX);
        match self {
            Suite::Node | Suite::Browser => {
                let program = folder.join("program");
                copy_folder(&source, &program)?;
                download(&|| {
                    let mut command = Command::new("npm");
                    command.args([
                        "ci",
                        "--omit=dev",
                        "--ignore-scripts",
                        "--no-audit",
                        "--no-fund",
                    ]);
                    command.current_dir(&program);
                    command
                })
            }
            Suite::Python => {
                let venv = folder.join("venv");
                download(&|| {
                    let mut command = Command::new("python3");
                    command.args(["-m", "venv", "--clear"]).arg(&venv);
                    command
                })?;
                download(&|| {
                    let mut command = Command::new(venv.join("bin/python"));
                    command.args(["-m", "pip", "install", "--disable-pip-version-check", "-r"]);
                    command.arg(source.join("requirements.txt"));
                    command
                })
            }
            Suite::Go | Suite::Ossutil => download(&|| {
                let mut command = go(&source);
                command.args(["mod", "download"]);
                command
            }),
            Suite::Java => {
                let lib = folder.join("lib");
                download(&|| {
                    // An older version left behind would stand beside the new one on the class path.
                    let _ = fs::remove_dir_all(&lib);
                    let mut command = Command::new("mvn");
                    command.args(["-q", "-B", MAVEN_COPY, "-DincludeScope=runtime"]);
                    command.arg(format!("-DoutputDirectory={}", lib.display()));
                    command.current_dir(&source);
                    command
                })
            }
            Suite::Opendal => download(&|| {
                let mut command = Command::new("cargo");
                command.args(["fetch", "--locked"]).current_dir(&source);
                command
            }),
        }
    }

    /// Builds the program itself; needs no network.
    fn build(self) -> Outcome<()> {
        let (folder, source) = (self.folder(), self.source());
        let mut command = match self {
            Suite::Node => return copy_folder(&source, &folder.join("program")),
            Suite::Python | Suite::Browser => return Ok(()),
            Suite::Go => {
                let mut command = go(&source);
                command.args(["build", "-buildvcs=false", "-o"]).arg(folder.join("suite")).arg(".");
                command
            }
            Suite::Ossutil => {
                let mut command = go(&source);
                command.args(["build", "-buildvcs=false", "-o"]).arg(folder.join("program"));
                command.arg("github.com/aliyun/ossutil");
                command
            }
            Suite::Java => {
                let classes = folder.join("classes");
                let _ = fs::remove_dir_all(&classes);
                let mut command = Command::new("javac");
                command.args(["--release", "17", "-cp"]).arg(folder.join("lib/*"));
                command.arg("-d").arg(classes).args(java_sources(&source.join("src/compat"))?);
                command
            }
            Suite::Opendal => {
                let mut command = Command::new("cargo");
                command
                    .args(["build", "--locked", "--target-dir"])
                    .arg(&folder)
                    .current_dir(&source);
                command
            }
        };
        if process::succeeds(&mut command)? {
            Ok(())
        } else {
            Err(format!("{}: does not build", self.name()))
        }
    }

    /// The command that runs the suite.
    pub(crate) fn program(self) -> Command {
        let folder = self.folder();
        let mut command = match self {
            Suite::Node | Suite::Browser => Command::new("node"),
            Suite::Python => Command::new(folder.join("venv/bin/python")),
            Suite::Go => Command::new(folder.join("suite")),
            Suite::Java => Command::new("java"),
            Suite::Opendal => Command::new(folder.join("debug/ossia-compat-opendal")),
            Suite::Ossutil => Command::new("python3"),
        };
        match self {
            Suite::Node => command.arg(folder.join("program/main.js")),
            // Nothing is to be written beside the sources.
            Suite::Python => command.arg("-B").arg(self.source().join("main.py")),
            Suite::Java => {
                let path = format!(
                    "{}:{}",
                    folder.join("classes").display(),
                    folder.join("lib/*").display()
                );
                command.args(["-cp", &path, "compat.Main"])
            }
            Suite::Browser => command
                .env("OSSIA_ALI_OSS", ali_oss())
                .env("OSSIA_CHROMIUM", "chromium")
                .arg(self.source().join("main.js")),
            Suite::Ossutil => command
                .env("OSSIA_OSSUTIL", folder.join("program"))
                .arg("-B")
                .arg(self.source().join("main.py")),
            Suite::Go | Suite::Opendal => &mut command,
        };
        command
    }
}

/// An authority made for the tests, whose key nobody keeps, and the certificate that it has signed, good for a hundred years.
fn tls_file(name: &str) -> PathBuf {
    tree::root().join("compat/tls").join(name)
}

/// Where the node suite installs its SDK.
fn ali_oss() -> PathBuf {
    Suite::Node.folder().join("program/node_modules/ali-oss")
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    // The toolchain that is there, and the versions that are committed.
    command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly").current_dir(folder);
    command
}

fn java_sources(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = entries(folder)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "java"));
    Ok(files)
}

fn entries(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let listing = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(|error| format!("{}: {error}", folder.display()))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn make(folder: &Path) -> Outcome<()> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn read(file: &Path) -> Outcome<Vec<u8>> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Outcome<()> {
    fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}

/// Copies the files of one folder, not those of folders within it: npm installs beside its package file, and the
/// source tree stays as it is.
fn copy_folder(from: &Path, to: &Path) -> Outcome<()> {
    make(to)?;
    for file in entries(from)?.into_iter().filter(|file| file.is_file()) {
        if let Some(name) = file.file_name() {
            write(&to.join(name), &read(&file)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_its_lock_and_its_source() {
        for suite in Suite::ALL {
            assert!(suite.lock().is_file(), "{}", suite.lock().display());
            assert!(suite.folder().starts_with(tree::target()), "{}", suite.name());
        }
    }

    #[test]
    fn only_files_of_the_folder_itself_are_copied() {
        let folder = std::env::temp_dir().join(format!("ossia-xtask-copy-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        make(&from.join("node_modules")).unwrap();
        write(&from.join("main.js"), b"1").unwrap();
        write(&from.join("node_modules/other.js"), b"2").unwrap();
        copy_folder(&from, &to).unwrap();
        assert_eq!(entries(&to).unwrap(), [to.join("main.js")]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
