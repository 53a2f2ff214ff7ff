//! The system under test: a throw-away PostgreSQL, servers and notifiers as processes of the real
//! binary on free ports. When it goes, it also looks back: a deadlock or an error in PostgreSQL's
//! log, or a panic in any process, fails the test that made it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use postgres_dev::{Cluster, Saved};

use crate::encrypted::Encrypted;
use crate::process::{Process, Sandbox, build_folder, pgpresence, run};

/// How long a process may take to come up; generous, because two cores run many tests at once.
pub const STARTUP: Duration = Duration::from_secs(30);
const DATABASE: &str = "presence";
/// What `migrate` reads of the configuration: with these set, the schema is another one.
const SHAPES_THE_SCHEMA: [&str; 4] = [
    "presence.presentity_table",
    "presence.active_watchers_table",
    "presence.watchers_table",
    "presence.sip_uri_match",
];

/// What a test wants to have running.
#[derive(Clone, Debug)]
pub struct Setup {
    servers: usize,
    notifiers: usize,
    listen: Vec<String>,
    sets: Vec<(String, String)>,
    clean: bool,
    by_role: bool,
    over_tls: bool,
}

/// A running system.
pub struct System {
    /// The servers, by number.
    pub servers: Vec<Server>,
    /// The notifiers, by number.
    pub notifiers: Vec<Process>,
    setup: Setup,
    sandbox: Arc<Sandbox>,
    cluster: Option<Cluster>,
    encrypted: Option<Encrypted>,
}

/// One server process and the addresses that it printed.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub process: Process,
    /// Transport and address of each listener, as printed.
    pub listen: Vec<(String, SocketAddr)>,
}

/// One server, one notifier, UDP and TCP on 127.0.0.1, quick clean-up and pacing.
pub fn setup() -> Setup {
    Setup {
        servers: 1,
        notifiers: 1,
        listen: vec!["udp:127.0.0.1:0".into(), "tcp:127.0.0.1:0".into()],
        sets: vec![
            ("presence.waitn_time".into(), "1".into()),
            ("presence.clean_period".into(), "1".into()),
            ("notifier.listen".into(), "udp:127.0.0.1:0".into()),
        ],
        clean: true,
        by_role: false,
        over_tls: false,
    }
}

/// Starts [`setup`] as it is.
pub fn start() -> System {
    setup().start()
}

impl Setup {
    /// How many server processes.
    #[must_use]
    pub fn servers(mut self, count: usize) -> Setup {
        self.servers = count;
        self
    }

    /// How many notifier processes.
    #[must_use]
    pub fn notifiers(mut self, count: usize) -> Setup {
        self.notifiers = count;
        self
    }

    /// One more listener of every server, such as `udp:[::1]:0`.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Setup {
        self.listen.push(address.into());
        self
    }

    /// A configuration key, as `--set` takes it. The last value of a key counts.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Setup {
        self.sets.retain(|(name, _)| name != key);
        self.sets.push((key.into(), value.to_string()));
        self
    }

    /// A key back to the program's own default.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Setup {
        self.sets.retain(|(name, _)| name != key);
        self
    }

    /// This test makes PostgreSQL log errors on purpose; only deadlocks and panics count.
    #[must_use]
    pub fn errors_expected(mut self) -> Setup {
        self.clean = false;
        self
    }

    /// Each process has the rights of its role, `pgpresence_server` or `pgpresence_notifier`, and no others.
    #[must_use]
    pub fn by_role(mut self) -> Setup {
        self.by_role = true;
        self
    }

    /// PostgreSQL takes nobody without TLS; each process verifies it, and has an account of its own with the rights of its role.
    #[must_use]
    pub fn over_tls(mut self) -> Setup {
        self.over_tls = true;
        self
    }

    /// Starts everything and waits until all of it is ready.
    ///
    /// # Panics
    /// With the output of what did not come up.
    pub fn start(self) -> System {
        let sandbox = Sandbox::new();
        let (cluster, encrypted) = match self.over_tls {
            false => (self.cluster(), None),
            true => {
                let (cluster, encrypted) = Encrypted::start(sandbox.directory(), DATABASE);
                (cluster, Some(encrypted))
            }
        };
        let mut system = System {
            servers: vec![],
            notifiers: vec![],
            setup: self,
            sandbox,
            cluster: Some(cluster),
            encrypted,
        };
        system.cli(&["migrate"]);
        if system.encrypted.is_some() {
            Encrypted::grant(system.cluster(), DATABASE);
        }
        for _ in 0..system.setup.servers {
            system.add_server();
        }
        for _ in 0..system.setup.notifiers {
            system.add_notifier();
        }
        system
    }
}

impl Setup {
    /// A cluster with the database. Most tests want the usual tables: theirs is a copy of one that is migrated already.
    fn cluster(&self) -> Cluster {
        let unusual = self
            .sets
            .iter()
            .any(|(key, _)| SHAPES_THE_SCHEMA.contains(&key.as_str()));
        let cluster = match unusual {
            true => Cluster::start_throwaway().inspect(make_database),
            false => Cluster::start_copy(
                Saved {
                    folder: &build_folder().join("tmp"),
                    name: "system",
                    inputs: Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../schema")),
                },
                |cluster| {
                    make_database(cluster);
                    let mut migrate = Command::new(pgpresence());
                    migrate.args(["migrate", "--database-url", &cluster.url(DATABASE)]);
                    let (status, out, err) = run(migrate.current_dir("/"), STARTUP);
                    assert!(status.success(), "{migrate:?}: {status}\n{out}\n{err}");
                },
            ),
        };
        cluster.unwrap_or_else(|fault| panic!("PostgreSQL: {fault}"))
    }
}

fn make_database(cluster: &Cluster) {
    cluster
        .create_database(DATABASE)
        .unwrap_or_else(|fault| panic!("create database: {fault}"));
}

impl System {
    /// The connection URL of its database.
    pub fn url(&self) -> String {
        self.cluster().url(DATABASE)
    }

    /// PostgreSQL itself.
    ///
    /// # Panics
    /// Never while the system exists.
    pub fn cluster(&self) -> &Cluster {
        self.cluster
            .as_ref()
            .expect("PostgreSQL runs as long as the system")
    }

    /// What clients of a PostgreSQL with TLS need.
    ///
    /// # Panics
    /// When the test did not ask for [`Setup::over_tls`].
    pub fn encrypted(&self) -> &Encrypted {
        self.encrypted
            .as_ref()
            .expect("a system that was set up over TLS")
    }

    /// kill -9 of the whole of PostgreSQL, at once.
    pub fn kill9_postgres(&mut self) {
        self.cluster().kill9();
    }

    /// Starts PostgreSQL again on the same data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart_postgres(&mut self) {
        let cluster = self
            .cluster
            .as_mut()
            .expect("PostgreSQL runs as long as the system");
        cluster
            .restart()
            .unwrap_or_else(|fault| panic!("PostgreSQL does not come back: {fault}"));
    }

    /// The scratch directory and watchdog, for other children of the test.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// Where server `number` listens for UDP.
    pub fn udp(&self, number: usize) -> SocketAddr {
        self.servers[number].address("udp")
    }

    /// Where server `number` listens for TCP.
    pub fn tcp(&self, number: usize) -> SocketAddr {
        self.servers[number].address("tcp")
    }

    /// The UDP addresses of all servers.
    pub fn all_udp(&self) -> Vec<SocketAddr> {
        self.servers
            .iter()
            .map(|server| server.address("udp"))
            .collect()
    }

    /// Starts one more server on free ports; returns its number.
    pub fn add_server(&mut self) -> usize {
        let listen = self.setup.listen.clone();
        let server = self.start_server(&listen);
        self.servers.push(server);
        self.servers.len() - 1
    }

    /// Starts one more server on this address alone, such as `udp:127.0.0.1:5060`; returns its number.
    pub fn add_server_at(&mut self, address: &str) -> usize {
        let server = self.start_server(&[address.to_owned()]);
        self.servers.push(server);
        self.servers.len() - 1
    }

    /// Starts one more notifier; returns its number.
    pub fn add_notifier(&mut self) -> usize {
        let notifier = self.start_notifier();
        self.notifiers.push(notifier);
        self.notifiers.len() - 1
    }

    /// Starts server `number` again, on the ports that it had.
    pub fn restart_server(&mut self, number: usize) {
        self.servers[number].process.kill9();
        let listen: Vec<String> = self.servers[number]
            .listen
            .iter()
            .map(|(transport, addr)| format!("{transport}:{addr}"))
            .collect();
        self.servers[number] = self.start_server(&listen);
    }

    /// Starts notifier `number` again.
    pub fn restart_notifier(&mut self, number: usize) {
        self.notifiers[number].kill9();
        self.notifiers[number] = self.start_notifier();
    }

    /// Changes a configuration key, and starts all servers and notifiers again with it, on the ports that they had.
    pub fn reconfigure(&mut self, key: &str, value: impl ToString) {
        self.setup = self.setup.clone().set(key, value);
        for number in 0..self.servers.len() {
            self.restart_server(number);
        }
        for number in 0..self.notifiers.len() {
            self.restart_notifier(number);
        }
    }

    fn start_server(&self, listen: &[String]) -> Server {
        let mut command = self.daemon("server");
        for address in listen {
            command.args(["--listen", address]);
        }
        let mut process = Process::start(&self.sandbox, "server", &mut command);
        if let Err(output) = process.line(STARTUP, is_ready) {
            panic!("{output}");
        }
        let listen = process
            .lines()
            .iter()
            .flat_map(|line| addresses(line))
            .collect();
        Server { process, listen }
    }

    fn start_notifier(&self) -> Process {
        let mut process = Process::start(&self.sandbox, "notifier", &mut self.daemon("notifier"));
        if let Err(output) = process.line(STARTUP, is_ready) {
            panic!("{output}");
        }
        process
    }

    /// A command line of the binary with this system's database and configuration.
    pub fn command(&self, verb: &str) -> Command {
        match &self.encrypted {
            None => self.command_on(&self.url(), verb),
            Some(encrypted) => {
                let url = encrypted.url(Encrypted::account(verb), DATABASE);
                let mut command = self.command_on(&url, verb);
                encrypted.equip(&mut command);
                command
            }
        }
    }

    /// The command line of a server or a notifier, with the rights that the test gives it.
    fn daemon(&self, kind: &str) -> Command {
        if self.encrypted.is_some() {
            return self.command(kind);
        }
        let mut url = self.url();
        if self.setup.by_role {
            let mark = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{mark}options=-c%20role%3Dpgpresence_{kind}"));
        }
        self.command_on(&url, kind)
    }

    fn command_on(&self, url: &str, verb: &str) -> Command {
        let mut command = Command::new(pgpresence());
        command.arg(verb).args(["--database-url", url]);
        for (key, value) in &self.setup.sets {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command.current_dir(self.sandbox.directory());
        command
    }

    /// Runs the binary to its end with this system's database.
    ///
    /// # Panics
    /// When it fails.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments[0]);
        command.args(&arguments[1..]);
        let (status, out, err) = run(&mut command, STARTUP);
        assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
        out
    }

    /// Types a command into the real `psql`; returns unaligned rows without a header.
    ///
    /// # Panics
    /// When psql reports an error.
    pub fn psql(&self, sql: &str) -> String {
        let mut command = Command::new("psql");
        command.args([
            &self.url(),
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]);
        let (status, out, err) = run(&mut command, STARTUP);
        assert!(status.success(), "psql: {sql}\n{out}\n{err}");
        out.trim().to_string()
    }

    /// A connection for queries.
    ///
    /// # Panics
    /// When PostgreSQL is not there.
    pub async fn sql(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls)
            .await
            .expect("a connection to PostgreSQL");
        tokio::spawn(connection);
        client
    }

    /// One number from the database.
    pub async fn count(&self, sql: &str) -> i64 {
        count(&self.sql().await, sql).await
    }

    /// Waits until a query that returns one number gives `wanted`.
    ///
    /// # Panics
    /// When it has not after the deadline.
    pub async fn until(&self, deadline: Duration, sql: &str, wanted: i64) {
        let client = self.sql().await;
        let until = tokio::time::Instant::now() + deadline;
        loop {
            let found = count(&client, sql).await;
            if found == wanted {
                return;
            }
            assert!(
                tokio::time::Instant::now() < until,
                "{sql}: {found}, still not {wanted} after {deadline:?}\n{}",
                self.tables().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The interesting columns of all tables as text, to be shown when a test fails.
    pub async fn tables(&self) -> String {
        let mut text = String::new();
        for sql in [
            "SELECT id, username, event, etag, expires - extract(epoch FROM now())::bigint AS left_s, removed FROM presentity",
            "SELECT id, presentity_uri, callid, status, reason, updated, local_cseq, notified_version, \
             expires - extract(epoch FROM now())::bigint AS left_s, contact, flow FROM active_watchers",
            "SELECT presentity_uri, event, version, claimed_version, flagged_due - now() AS flagged_in, due - now() AS due_in, owner, lease_until - now() AS lease FROM notify_queue",
            "SELECT id, kind, address, now() - heartbeat AS last_seen FROM node",
        ] {
            let mut command = Command::new("psql");
            command.args([&self.url(), "-X", "-c", &format!("{sql} LIMIT 40")]);
            let (_, out, err) = run(&mut command, STARTUP);
            text.push_str(&format!("{out}{err}\n"));
        }
        text
    }

    /// The lines of PostgreSQL's log that contain `text`.
    pub fn postgres_log(&self, text: &str) -> Vec<String> {
        let log = std::fs::read(self.cluster().log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log)
            .lines()
            .filter(|line| line.contains(text))
            .map(String::from)
            .collect()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = self.postgres_log("deadlock detected");
        if self.setup.clean {
            for severity in ["ERROR:", "FATAL:", "PANIC:"] {
                let mut lines = self.postgres_log(severity);
                // Said of a process that the test killed in the middle of a statement. One that died by itself has panicked.
                lines.retain(|line| !line.contains("connection to client lost"));
                faults.extend(lines);
            }
        }
        let processes = self
            .servers
            .iter()
            .map(|server| &server.process)
            .chain(&self.notifiers);
        for process in processes {
            faults.extend(
                process
                    .lines()
                    .into_iter()
                    .filter(|line| line.contains("panicked at")),
            );
        }
        faults
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let faults = self.faults();
        if std::thread::panicking() {
            eprintln!(
                "---- PostgreSQL's errors and the processes' panics ----\n{}",
                faults.join("\n")
            );
            return;
        }
        // What the processes do while they are taken down is no fault of theirs.
        for server in &mut self.servers {
            server.process.kill9();
        }
        for notifier in &mut self.notifiers {
            notifier.kill9();
        }
        assert!(
            faults.is_empty(),
            "the system was not well:\n{}",
            faults.join("\n")
        );
    }
}

impl Server {
    /// Its first address of a transport.
    ///
    /// # Panics
    /// With its output, when it printed none.
    pub fn address(&self, transport: &str) -> SocketAddr {
        let found = self.listen.iter().find(|(name, _)| name == transport);
        found
            .unwrap_or_else(|| {
                panic!(
                    "no {transport} address printed:\n{}",
                    self.process.lines().join("\n")
                )
            })
            .1
    }

    /// Its first IPv6 address of a transport.
    ///
    /// # Panics
    /// With its output, when it printed none.
    pub fn address6(&self, transport: &str) -> SocketAddr {
        let found = self
            .listen
            .iter()
            .find(|(name, addr)| name == transport && addr.is_ipv6());
        found
            .unwrap_or_else(|| {
                panic!(
                    "no IPv6 address printed:\n{}",
                    self.process.lines().join("\n")
                )
            })
            .1
    }
}

async fn count(client: &tokio_postgres::Client, sql: &str) -> i64 {
    let sql = format!("SELECT ({sql})::bigint");
    client
        .query_one(&sql, &[])
        .await
        .unwrap_or_else(|fault| panic!("{sql}: {fault:?}"))
        .get(0)
}

/// Whether a line of output says that the process is ready.
pub fn is_ready(line: &str) -> bool {
    line.trim() == "ready"
}

/// Transport and address of every listener that a line of output names.
pub fn addresses(line: &str) -> Vec<(String, SocketAddr)> {
    // Not in log lines, which may name other addresses.
    let shown = line.strip_prefix("listening on ").unwrap_or_default();
    shown
        .split([' ', ','])
        .filter_map(|word| {
            let (transport, address) = word.split_once(':')?;
            let known = matches!(transport, "udp" | "tcp");
            known.then(|| {
                address
                    .parse()
                    .ok()
                    .map(|address| (transport.to_string(), address))
            })?
        })
        .collect()
}
