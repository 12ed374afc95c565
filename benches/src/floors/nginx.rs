//! nginx: the same bytes as static files, by `sendfile`, from the same disk.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{child::Server, error::BenchError, machine};

/// Where Debian puts it, beside `PATH`.
const USUAL: &str = "/usr/sbin/nginx";

/// The program, if it is on this machine.
pub(crate) fn find(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(named) = named {
        return named.is_file().then(|| named.to_path_buf());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("nginx"))
        .chain([PathBuf::from(USUAL)])
        .find(|candidate| candidate.is_file())
}

/// Serves `folder/www`. What differs from Debian's configuration: no access log, since the server under test writes none, and
/// connections that may carry any number of requests.
pub(crate) fn start(program: &Path, folder: &Path) -> Result<Server, BenchError> {
    // nginx cannot choose a port itself; another program could take this one in between, and then nginx does not start.
    let address = TcpListener::bind(("127.0.0.1", 0))
        .and_then(|free| free.local_addr())
        .map_err(BenchError::io("find a free port"))?;
    // Started by root, its workers change to a user that cannot read a scratch folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (workers, folder_text) = (machine::cores(), folder.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {folder_text}/{kind};\n"))
        .collect();
    let configuration = format!(
        "{user}\nworker_processes {workers};\ndaemon off;\npid {folder_text}/nginx.pid;\n\
         error_log {folder_text}/error.log;\nevents {{ worker_connections 2048; }}\nhttp {{\n\
         {temporary}  access_log off;\n  sendfile on;\n  tcp_nopush on;\n\
         \x20 keepalive_requests 1000000000;\n  default_type application/octet-stream;\n\
         \x20 server {{ listen {address}; root {folder_text}/www; }}\n}}\n"
    );
    let file = folder.join("nginx.conf");
    fs::create_dir_all(folder.join("www"))
        .and_then(|()| fs::write(&file, configuration))
        .map_err(BenchError::io("configure nginx"))?;
    let mut command = Command::new(program);
    // Errors before the configuration is read go to a file of the same folder.
    command.arg("-c").arg(&file).arg("-e").arg(folder.join("error.log"));
    Server::start_silent("nginx", command, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_program_that_is_absent_is_not_replaced_by_another() {
        assert_eq!(find(Some(Path::new("/nowhere/nginx"))), None);
        assert_eq!(find(Some(Path::new("/bin/sh"))), Some(PathBuf::from("/bin/sh")));
    }
}
