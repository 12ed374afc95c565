//! Where the file with the master keys stands, and what a start does about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use ossia_keys::{KeyFileError, KeyId, MasterKeys};

/// Behind the name of what the file stands beside.
const SUFFIX: &str = ".master-key";

/// Where the file is to be: where it was asked for, else beside the configuration file, else beside the data folder.
///
/// # Errors
/// What to tell the operator. A place within the data folder is refused: who has that folder would have the keys as well.
pub(crate) fn place(asked: &Path, config: Option<&Path>, data: &Path) -> Result<PathBuf, String> {
    let beside = |path: &Path| -> Result<PathBuf, String> {
        let whole = real(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut name = whole.file_name().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(format!(
                "nothing can stand beside {}: name a place with --master-key-file",
                path.display()
            ));
        }
        name.push(SUFFIX);
        Ok(whole.with_file_name(name))
    };
    let file = match config {
        _ if !asked.as_os_str().is_empty() => asked.to_owned(),
        None => beside(data)?,
        Some(config) => {
            let (by_config, by_data) = (beside(config)?, beside(data)?);
            // A server that was started without that configuration at first has its keys there.
            if !by_config.exists() && by_data.exists() { by_data } else { by_config }
        }
    };
    let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let real_file = real(&file).map_err(|error| told(&file, error))?;
    let real_data = real(data).map_err(|error| told(data, error))?;
    if real_file.starts_with(&real_data) {
        return Err(format!(
            "the master key file {} must not lie within the data folder {}: whoever has the folder, or a backup of it, would \
             have the keys as well; name another place with --master-key-file",
            file.display(),
            data.display()
        ));
    }
    Ok(file)
}

/// A path without links, as far as it exists.
fn real(path: &Path) -> io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    let mut missing = Vec::new();
    let mut there = whole.as_path();
    loop {
        match there.canonicalize() {
            Ok(mut real) => {
                real.extend(missing.iter().rev());
                return Ok(real);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => match (there.parent(), there.file_name()) {
                (Some(parent), Some(name)) => {
                    missing.push(name.to_owned());
                    there = parent;
                }
                _ => return Err(error),
            },
        }
    }
}

/// Opens the keys, or makes them at the first start. Where they are missing although something was sealed under one, the server
/// starts without, so that what is not encrypted is served, and says so.
///
/// # Errors
/// What to tell the operator: a file that cannot be read, is damaged, or cannot be made.
pub(crate) fn open(path: &Path, in_use: &[KeyId]) -> Result<MasterKeys, String> {
    let keys = match MasterKeys::of_file(path) {
        Err(KeyFileError::Absent { .. }) if in_use.is_empty() => MasterKeys::open_or_create(path),
        Err(KeyFileError::Absent { .. }) => {
            tracing::error!(
                file = %path.display(),
                keys = %list(in_use),
                "THE MASTER KEY FILE IS MISSING, and things in the data folder were sealed under its keys. None is \
                 made in its place. What is encrypted cannot be read, and nothing can be encrypted, until the file \
                 is brought back and the server is started again"
            );
            return Ok(MasterKeys::none());
        }
        other => other,
    };
    let keys = keys.map_err(|error| format!("{error} (see --master-key-file)"))?;
    let missing: Vec<KeyId> = in_use.iter().copied().filter(|id| !keys.has(*id)).collect();
    if !missing.is_empty() {
        tracing::error!(
            file = %path.display(),
            keys = %list(&missing),
            "THE MASTER KEY FILE LACKS KEYS that things in the data folder were sealed under. What is encrypted under them cannot \
             be read until they are brought back"
        );
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if let Ok(metadata) = path.metadata()
            && metadata.permissions().mode() & 0o077 != 0
        {
            tracing::warn!(file = %path.display(), "others than its owner may use the master key file");
        }
    }
    Ok(keys)
}

/// The keys of a data folder for somebody who only reads: those of the file that was asked for, else of the one beside the folder, if
/// it is there.
///
/// # Errors
/// What to tell the operator.
pub(crate) fn for_reading(asked: Option<&Path>, data: &Path) -> Result<MasterKeys, String> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => match place(Path::new(""), None, data) {
            Ok(path) if path.exists() => path,
            _ => return Ok(MasterKeys::none()),
        },
    };
    MasterKeys::of_file(&path).map_err(|error| error.to_string())
}

fn list(ids: &[KeyId]) -> String {
    ids.iter().map(KeyId::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_stands_beside_the_configuration_else_beside_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let (data, config) = (base.join("data"), base.join("etc.toml"));
        fs::write(&config, "").unwrap();
        let none = Path::new("");
        assert_eq!(place(none, None, &data), Ok(base.join("data.master-key")));
        assert_eq!(place(none, Some(&config), &data), Ok(base.join("etc.toml.master-key")));
        let asked = base.join("keys");
        assert_eq!(place(&asked, Some(&config), &data), Ok(asked));
        fs::write(base.join("data.master-key"), "").unwrap();
        assert_eq!(place(none, Some(&config), &data), Ok(base.join("data.master-key")));
        fs::write(base.join("etc.toml.master-key"), "").unwrap();
        assert_eq!(place(none, Some(&config), &data), Ok(base.join("etc.toml.master-key")));
    }

    #[test]
    fn a_place_within_the_data_folder_is_refused_through_links_too() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        // Before the folder is there.
        assert!(place(&data.join("keys"), None, &data).is_err());
        fs::create_dir_all(data.join("sub")).unwrap();
        assert!(place(&data.join("sub/../keys"), None, &data).is_err());
        std::os::unix::fs::symlink(data.join("sub"), folder.path().join("link")).unwrap();
        assert!(place(&folder.path().join("link/keys"), None, &data).is_err());
        assert!(place(&folder.path().join("data-keys"), None, &data).is_ok());
    }

    #[test]
    fn no_key_is_made_in_the_place_of_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let id = KeyId::from_bytes([7; 8]);
        assert_eq!(open(&path, &[id]).unwrap().current(), None);
        assert!(!path.exists());
        let made = open(&path, &[]).unwrap();
        assert_eq!(MasterKeys::of_file(&path).unwrap().current(), made.current());
        // One that has other keys is used for what comes.
        assert_eq!(open(&path, &[id]).unwrap().current(), made.current());
        fs::write(&path, "damaged").unwrap();
        assert!(open(&path, &[]).unwrap_err().contains("damaged"));
    }
}
