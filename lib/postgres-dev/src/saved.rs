//! A cluster that is made once and then copied: `initdb` and all migrations cost each test process more than most tests.
//!
//! The copy is kept under a name that says what it was made of. Who finds none makes it while the others wait, and removes
//! those that were made of something else.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::account::Account;
use crate::error::{Error, io_error};
use crate::{Cluster, binaries, run_program};

/// What a saved cluster is made of, and where it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// A folder of ours that outlives us, such as `target/tmp`.
    pub folder: &'a Path,
    /// What tells this one from others in the same folder.
    pub name: &'a str,
    /// A folder (the crate with the migrations): when a file in it changes, the cluster is made anew.
    pub inputs: &'a Path,
}

impl Saved<'_> {
    /// The data directory that a copy is made of. Where there is none, `make` fills a new cluster first.
    ///
    /// The lock that comes with it keeps others from removing the directory.
    pub(crate) fn data_dir(&self, make: impl FnOnce(&Cluster)) -> Result<(PathBuf, File), Error> {
        fs::create_dir_all(self.folder).map_err(io_error("create", self.folder))?;
        let data_dir = self
            .folder
            .join(format!("{}{:016x}", self.prefix(), self.key()?));
        let path = self.folder.join(format!("{}lock", self.prefix()));
        let lock = File::create(&path).map_err(io_error("create", &path))?;
        let take = |how| flock(&lock, how).map_err(|error| io_error("lock", &path)(error.into()));
        take(FlockOperation::LockShared)?;
        if !data_dir.exists() {
            take(FlockOperation::LockExclusive)?;
            if !data_dir.exists() {
                self.remove_others()?;
                save(make, &data_dir)?;
            }
            take(FlockOperation::LockShared)?;
        }
        Ok((data_dir, lock))
    }

    fn prefix(&self) -> String {
        format!("cluster-{}-", self.name)
    }

    /// Differs when anything does that makes another cluster.
    fn key(&self) -> Result<u64, Error> {
        let mut hasher = DefaultHasher::new();
        let binaries = binaries::find_binaries()?;
        let mut version = std::process::Command::new(binaries.join("postgres"));
        run_program("postgres", version.arg("--version"))?.hash(&mut hasher);
        binaries.hash(&mut hasher);
        format!("{:?}", Account::choose()?).hash(&mut hasher);
        hash_files(self.inputs, &mut hasher)?;
        Ok(hasher.finish())
    }

    fn remove_others(&self) -> Result<(), Error> {
        for path in list(self.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&self.prefix()) && path.is_dir() {
                fs::remove_dir_all(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// Made beside its place and then renamed, so that an interrupted copy is never taken for a whole one.
fn save(make: impl FnOnce(&Cluster), data_dir: &Path) -> Result<(), Error> {
    let cluster = Cluster::start_throwaway()?;
    make(&cluster);
    cluster.stop_postmaster();
    let unfinished = data_dir.with_extension("new");
    copy(&cluster.place.data_dir, &unfinished, &Account::Ourselves)?;
    fs::rename(&unfinished, data_dir).map_err(io_error("put in place", data_dir))
}

/// A folder with everything in it, for this account. A cluster holds folders and plain files only.
pub(crate) fn copy(from: &Path, to: &Path, account: &Account) -> Result<(), Error> {
    fs::create_dir(to).map_err(io_error("create", to))?;
    account.own_directory(to)?;
    for source in list(from)? {
        let target = to.join(source.file_name().unwrap_or_default());
        if source.is_dir() {
            copy(&source, &target, account)?;
        } else {
            fs::copy(&source, &target).map_err(io_error("copy", &source))?;
            account.own_file(&target)?;
        }
    }
    Ok(())
}

/// Names and contents of all files in a folder and below it, in an order that is always the same.
fn hash_files(folder: &Path, hasher: &mut DefaultHasher) -> Result<(), Error> {
    let mut entries = list(folder)?;
    entries.sort();
    for entry in entries {
        entry.file_name().hash(hasher);
        match entry.is_dir() {
            true => hash_files(&entry, hasher)?,
            false => fs::read(&entry)
                .map_err(io_error("read", &entry))?
                .hash(hasher),
        }
    }
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(io_error("read", folder))?;
    entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(io_error("read", folder))
}
