//! Who PostgreSQL runs as. It refuses to be root, so root hands it to `postgres` (else `nobody`), without sudo or su.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, io_error};

/// The account that PostgreSQL's programs run as.
#[derive(Debug, Clone)]
pub(crate) enum Account {
    /// We are an ordinary user: the same one.
    Ourselves,
    /// We are root: this one.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// The account to use for this process.
    pub(crate) fn choose() -> Result<Account, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Ourselves);
        }
        let path = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(path).map_err(io_error("read", path))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find_user(&passwd, name))
            .ok_or(Error::NoAccount)
    }

    /// Makes `command` run as this account. (std also drops root's supplementary groups.)
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Account::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Gives `path` to this account, closed to everyone else, as PostgreSQL demands of its directories.
    pub(crate) fn own_directory(&self, path: &Path) -> Result<(), Error> {
        if let Account::Other { uid, gid, .. } = self {
            chown(path, Some(*uid), Some(*gid)).map_err(io_error("hand over", path))?;
        }
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(io_error("set the mode of", path))
    }

    /// Gives the file at `path` to this account; its mode stays.
    pub(crate) fn own_file(&self, path: &Path) -> Result<(), Error> {
        match self {
            Account::Ourselves => Ok(()),
            Account::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).map_err(io_error("hand over", path))
            }
        }
    }

    /// Checks that this account can walk down to `path` (absolute): every parent must be enterable.
    pub(crate) fn check_reachable(&self, path: &Path) -> Result<(), Error> {
        let Account::Other { name, uid, gid } = self else {
            return Ok(());
        };
        for dir in path.ancestors().skip(1) {
            let metadata = fs::metadata(dir).map_err(io_error("look at", dir))?;
            let enter_bit = if metadata.uid() == *uid {
                0o100
            } else if metadata.gid() == *gid {
                0o010
            } else {
                0o001
            };
            if metadata.mode() & enter_bit == 0 {
                return Err(Error::NotTraversable {
                    dir: dir.to_owned(),
                    user: name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The line of `/etc/passwd` for `name`.
fn find_user(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [user, _, uid, gid, ..] if *user == name => Some(Account::Other {
                name: name.to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
            }),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, find_user};

    #[test]
    fn finds_a_user_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres-old:x:1:2::/:/bin/sh\npostgres:x:101:104:::/bin/bash\n";
        let Some(Account::Other { name, uid, gid }) = find_user(passwd, "postgres") else {
            panic!("not found")
        };
        assert_eq!((name.as_str(), uid, gid), ("postgres", 101, 104));
        assert!(find_user(passwd, "nobody").is_none());
    }
}
