//! `[database]`.

use serde::{Deserialize, Serialize};

use super::SslMode;
use super::value::{Within, optional};

/// `[database]`: how PostgreSQL is used. `presence.db_url` says which one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The largest number of connections of each process.
    ///
    /// Unit: connections. Default: `8`. Range: 2 to 1000.
    pub pool_size: Within<2, 1000>,
    /// How long connecting may take.
    ///
    /// Unit: milliseconds. Default: `5000`. Range: 100 to 600000.
    pub connect_timeout_ms: Within<100, 600_000>,
    /// How long a statement may take. PostgreSQL cancels longer ones.
    ///
    /// Unit: milliseconds. Default: `5000`. Range: 100 to 600000.
    pub statement_timeout_ms: Within<100, 600_000>,
    /// A file whose content is the database's URL, in place of `presence.db_url`: so that a password stands in no
    /// configuration and on no command line. With systemd: `LoadCredential=db_url:/etc/pgpresence/db_url` and
    /// `PGPRESENCE_DATABASE__URL_FILE=%d/db_url`. It is not read if `presence.db_url` is set. Without a password in either,
    /// the one in `PGPASSFILE` or `~/.pgpass` is used, by libpq's rules (mode 0600; the first line that fits).
    ///
    /// Unit: none. Default: `""`. Range: a path.
    #[serde(with = "optional")]
    pub url_file: Option<String>,
    /// Whether the connection is encrypted, and who must be at its other end, as libpq's `sslmode`: `disable`, `prefer`
    /// (TLS if the server has it), `require` (TLS, with any server; with `sslrootcert` as `verify-ca`), `verify-ca` (a
    /// server whose certificate was signed by `sslrootcert`), `verify-full` (which also has the name that the URL says).
    /// `allow` is taken as `prefer`. Empty: `verify-full` if `sslrootcert` is set; else `prefer`, or `disable` for
    /// sockets and this machine (`localhost`, 127.0.0.1, ::1). Only `verify-full` protects against somebody on the way. Without TLS, a
    /// password is never sent in clear to another machine. What the URL itself says (`?sslmode=...`) wins, for this and the next three.
    ///
    /// Unit: none. Default: `""`. Range: empty, `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`.
    #[serde(with = "optional")]
    pub sslmode: Option<SslMode>,
    /// The CAs that may have signed the server's certificate: a file in PEM format, or `system` for those of the
    /// operating system (only with `verify-full`). The files of this and the next two are read at each connection.
    ///
    /// Unit: none. Default: `""`. Range: a path, or `system`.
    #[serde(with = "optional")]
    pub sslrootcert: Option<String>,
    /// The certificate by which PostgreSQL knows this process (`cert` or `clientcert` in `pg_hba.conf`), and those
    /// between it and its CA, in PEM format.
    ///
    /// Unit: none. Default: `""`. Range: a path.
    #[serde(with = "optional")]
    pub sslcert: Option<String>,
    /// The key of `sslcert`: in PEM format, not encrypted, mode 0600 (or 0640 if it belongs to root).
    ///
    /// Unit: none. Default: `""`. Range: a path.
    #[serde(with = "optional")]
    pub sslkey: Option<String>,
}

impl Default for DatabaseConfig {
    fn default() -> DatabaseConfig {
        DatabaseConfig {
            pool_size: const { Within::of(8) },
            connect_timeout_ms: const { Within::of(5000) },
            statement_timeout_ms: const { Within::of(5000) },
            url_file: None,
            sslmode: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
        }
    }
}
