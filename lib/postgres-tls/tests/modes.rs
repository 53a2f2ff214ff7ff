use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use postgres_dev::Cluster;
use postgres_tls::Target;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::authority::Authority;

/// Who must come how. `by_cert` is known by the name in a certificate.
const HBA: &str = "\
local     all all          trust
hostssl   all by_cert      127.0.0.1/32 cert
hostssl   all with_tls     127.0.0.1/32 scram-sha-256
hostnossl all without_tls  127.0.0.1/32 scram-sha-256
host      all either       127.0.0.1/32 scram-sha-256
hostssl   all clear        127.0.0.1/32 password
";
const USERS: [&str; 5] = ["by_cert", "with_tls", "without_tls", "either", "clear"];
const NAME: &str = "db.example.org";

/// A server whose name is [`NAME`], and a folder with what its clients need.
struct Ground {
    cluster: Cluster,
    folder: TempDir,
}

impl Ground {
    async fn new(ssl: &str) -> Ground {
        let (ours, others) = (Authority::new("ours"), Authority::new("others"));
        let (certificate, key) = ours.sign("a server", &[NAME, "127.0.0.1"]);
        let files = [
            ("pg_hba.conf", HBA),
            ("server.crt", &certificate),
            ("server.key", &key),
            ("clients.crt", &ours.pem()),
        ];
        let settings = [format!("ssl={ssl}"), "ssl_ca_file=clients.crt".to_owned()];
        let cluster = Cluster::start_listening(&files, &settings).unwrap();
        let hand = connect(&cluster.url("postgres")).await.unwrap();
        for user in USERS {
            let made = format!("CREATE ROLE {user} LOGIN PASSWORD 'secret'");
            hand.batch_execute(&made).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        put("ca.crt", &ours.pem(), 0o644);
        put("others.crt", &others.pem(), 0o644);
        let (certificate, key) = ours.sign("by_cert", &[]);
        put("client.crt", &certificate, 0o644);
        put("client.key", &key, 0o600);
        put("open.key", &key, 0o644);
        put("empty", "nothing", 0o600);
        Ground { cluster, folder }
    }

    /// A connection as `user` to the server under the name of `host`, with these words; `{}` in them is the folder.
    fn text(&self, user: &str, host: &str, words: &str) -> String {
        let words = words.replace("{}", &self.folder.path().display().to_string());
        let port = self.cluster.port();
        format!(
            "host={host} hostaddr=127.0.0.1 port={port} user={user} dbname=postgres password=secret connect_timeout=10 {words}"
        )
    }

    /// `Ok(true)` if it is encrypted, or all that was said.
    async fn try_as(&self, user: &str, host: &str, words: &str) -> Result<bool, String> {
        let client = connect(&self.text(user, host, words)).await?;
        let row = client
            .query_one(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        Ok(row.get(0))
    }
}

async fn connect(text: &str) -> Result<Client, String> {
    let target = Target::parse(text).map_err(|error| with_sources(&error))?;
    let connected = target.connect().await;
    let (client, connection) = connected.map_err(|error| with_sources(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

fn with_sources(error: &dyn Error) -> String {
    let next = error.source().map(with_sources).unwrap_or_default();
    format!("{error}: {next}")
}

#[tokio::test]
async fn each_mode_holds_what_it_promises() {
    let ground = Ground::new("on").await;
    let other = "other.example.org";
    let cases: &[(&str, &str, &str, Result<bool, &str>)] = &[
        ("either", NAME, "sslmode=disable", Ok(false)),
        ("either", NAME, "sslmode=allow", Ok(true)),
        ("either", NAME, "sslmode=prefer", Ok(true)),
        ("either", NAME, "sslmode=require", Ok(true)),
        // The address is the loopback's: no TLS unless it is asked for.
        ("either", NAME, "", Ok(false)),
        // hostssl and hostnossl.
        ("with_tls", NAME, "sslmode=disable", Err("no encryption")),
        ("with_tls", NAME, "sslmode=prefer", Ok(true)),
        ("with_tls", NAME, "sslmode=require", Ok(true)),
        ("without_tls", NAME, "sslmode=disable", Ok(false)),
        ("without_tls", NAME, "sslmode=prefer", Ok(false)),
        (
            "without_tls",
            NAME,
            "sslmode=require",
            Err("SSL encryption"),
        ),
        // Who it is: nobody looks, or the CA, or the name as well.
        ("either", other, "sslmode=require", Ok(true)),
        (
            "either",
            other,
            "sslmode=verify-ca sslrootcert={}/ca.crt",
            Ok(true),
        ),
        (
            "either",
            other,
            "sslmode=require sslrootcert={}/ca.crt",
            Ok(true),
        ),
        (
            "either",
            NAME,
            "sslmode=verify-full sslrootcert={}/ca.crt",
            Ok(true),
        ),
        (
            "either",
            "127.0.0.1",
            "sslmode=verify-full sslrootcert={}/ca.crt",
            Ok(true),
        ),
        ("either", NAME, "sslrootcert={}/ca.crt", Ok(true)),
        (
            "either",
            other,
            "sslmode=verify-full sslrootcert={}/ca.crt",
            Err("not valid for name"),
        ),
        (
            "either",
            "127.0.0.2",
            "sslmode=verify-full sslrootcert={}/ca.crt",
            Err("not valid for name"),
        ),
        (
            "either",
            other,
            "sslrootcert={}/ca.crt",
            Err("not valid for name"),
        ),
        (
            "either",
            NAME,
            "sslmode=verify-full sslrootcert={}/others.crt",
            Err("UnknownIssuer"),
        ),
        (
            "either",
            NAME,
            "sslmode=verify-ca sslrootcert={}/others.crt",
            Err("UnknownIssuer"),
        ),
        (
            "either",
            NAME,
            "sslmode=require sslrootcert={}/others.crt",
            Err("UnknownIssuer"),
        ),
        (
            "either",
            NAME,
            "sslmode=verify-full sslrootcert=system",
            Err("UnknownIssuer"),
        ),
        // Who we are.
        ("by_cert", NAME, "sslmode=require", Err("certificate")),
        (
            "by_cert",
            NAME,
            "sslmode=require sslcert={}/client.crt sslkey={}/client.key",
            Ok(true),
        ),
        (
            "either",
            NAME,
            "sslmode=require sslcert={}/client.crt sslkey={}/open.key",
            Err("read by others"),
        ),
        (
            "either",
            NAME,
            "sslmode=require sslcert={}/client.crt sslkey={}/empty",
            Err("holds no unencrypted private key"),
        ),
        (
            "either",
            NAME,
            "sslmode=require sslrootcert={}/empty",
            Err("holds no certificate"),
        ),
        // Passwords are tied to the certificate, so that nobody in between can hand them on.
        (
            "with_tls",
            NAME,
            "sslmode=verify-full sslrootcert={}/ca.crt channel_binding=require",
            Ok(true),
        ),
        (
            "either",
            NAME,
            "sslmode=disable channel_binding=require",
            Err("channel binding"),
        ),
        ("clear", NAME, "sslmode=require", Ok(true)),
        (
            "clear",
            NAME,
            "sslmode=require channel_binding=require",
            Err("channel binding"),
        ),
    ];
    for (user, host, words, wanted) in cases {
        let found = ground.try_as(user, host, words).await;
        match (&found, wanted) {
            (Err(said), Err(part)) => {
                assert!(said.contains(part), "{user} {host} {words}: {said}");
                assert!(!said.contains("secret"), "{user} {host} {words}: {said}");
            }
            _ => assert_eq!(
                found,
                wanted.map_err(str::to_owned),
                "{user} {host} {words}"
            ),
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_used_only_where_that_is_allowed() {
    let ground = Ground::new("off").await;
    for words in ["sslmode=disable", "sslmode=prefer", "sslmode=allow"] {
        assert_eq!(ground.try_as("either", NAME, words).await, Ok(false));
    }
    for words in ["sslmode=require", "sslrootcert={}/ca.crt"] {
        let refused = ground.try_as("either", NAME, words).await.unwrap_err();
        assert!(refused.contains("the server has no TLS"), "{refused}");
    }
}

/// Renewed certificates need no restart of the processes.
#[tokio::test]
async fn files_are_read_again_with_each_connection() {
    let ground = Ground::new("on").await;
    let text = ground.text("either", NAME, "sslmode=verify-full sslrootcert={}/ca.crt");
    let target = Target::parse(&text).unwrap();
    let reach = async || target.connect().await.map(|(client, _)| drop(client));
    reach().await.unwrap();
    let roots = ground.folder.path().join("ca.crt");
    let right = fs::read_to_string(&roots).unwrap();
    fs::copy(ground.folder.path().join("others.crt"), &roots).unwrap();
    let refused = with_sources(&reach().await.unwrap_err());
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    fs::remove_file(&roots).unwrap();
    let refused = with_sources(&reach().await.unwrap_err());
    assert!(refused.contains("cannot read"), "{refused}");
    fs::write(&roots, right).unwrap();
    reach().await.unwrap();
}
