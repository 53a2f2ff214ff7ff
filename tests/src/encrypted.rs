//! PostgreSQL as an operator sets it up on a machine of its own: nobody gets in without TLS and a password, and each kind of process has
//! an account with the rights of its role.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use postgres_dev::Cluster;

#[path = "../../lib/postgres-tls/tests/authority.rs"]
mod authority;

use authority::Authority;

/// The name in the server's certificate, which leads nowhere: the address is said apart.
const NAME: &str = "db.example.org";
/// Account and role. The first one owns the database and migrates it.
const ACCOUNTS: [(&str, &str); 4] = [
    ("owner", ""),
    ("front", "pgpresence_server"),
    ("engine", "pgpresence_notifier"),
    ("looker", "pgpresence_reader"),
];

/// What clients need.
#[derive(Clone, Debug)]
pub struct Encrypted {
    roots: PathBuf,
    /// A CA that has signed nothing.
    wrong_roots: PathBuf,
    passwords: PathBuf,
    port: u16,
}

impl Encrypted {
    /// The cluster, with the accounts and an empty database, and what its clients need, in `folder`.
    pub(crate) fn start(folder: &Path, database: &str) -> (Cluster, Encrypted) {
        let authority = Authority::new("the operator");
        let (certificate, key) = authority.sign("PostgreSQL", &[NAME]);
        let hba = "local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        let files = [
            ("pg_hba.conf", hba),
            ("server.crt", &certificate),
            ("server.key", &key),
        ];
        let cluster = Cluster::start_listening(&files, &["ssl=on".to_owned()])
            .unwrap_or_else(|fault| panic!("PostgreSQL: {fault}"));
        let hand = |sql: &str| psql(&cluster.url("postgres"), sql);
        for (account, _) in ACCOUNTS {
            hand(&format!(
                "CREATE ROLE {account} LOGIN PASSWORD 'of {account}'"
            ));
        }
        hand("ALTER ROLE owner CREATEROLE");
        hand(&format!("CREATE DATABASE {database} OWNER owner"));
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).expect("a file in the sandbox");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
            path
        };
        let lines = ACCOUNTS.map(|(account, _)| format!("{NAME}:*:*:{account}:of {account}\n"));
        let encrypted = Encrypted {
            roots: put("ca.crt", &authority.pem()),
            wrong_roots: put("wrong.crt", &Authority::new("somebody").pem()),
            passwords: put("passwords", &lines.concat()),
            port: cluster.port(),
        };
        (cluster, encrypted)
    }

    /// Gives each account its role, which the migration has made.
    pub(crate) fn grant(cluster: &Cluster, database: &str) {
        for (account, role) in ACCOUNTS.iter().filter(|(_, role)| !role.is_empty()) {
            let grant = format!("GRANT {role} TO {account}");
            psql(&cluster.url(database), &grant);
        }
    }

    /// The account of a command.
    pub(crate) fn account(verb: &str) -> &'static str {
        match verb {
            "server" => "front",
            "notifier" => "engine",
            "migrate" => "owner",
            _ => "looker",
        }
    }

    pub(crate) fn url(&self, account: &str, database: &str) -> String {
        let port = self.port;
        format!("postgresql://{account}@{NAME}:{port}/{database}?hostaddr=127.0.0.1")
    }

    /// Has a command ask for the right server, and find its password.
    pub(crate) fn equip(&self, command: &mut Command) {
        command
            .env("PGPRESENCE_DATABASE__SSLMODE", "verify-full")
            .env("PGPRESENCE_DATABASE__SSLROOTCERT", &self.roots)
            .env("PGPASSFILE", &self.passwords);
    }

    /// Has a command trust a CA that has not signed the server's certificate.
    pub fn mislead(&self, command: &mut Command) {
        command.env("PGPRESENCE_DATABASE__SSLROOTCERT", &self.wrong_roots);
    }
}

fn psql(url: &str, sql: &str) {
    let mut command = Command::new("psql");
    command.args([url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    let output = command.output().expect("psql runs");
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
