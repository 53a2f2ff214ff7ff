//! How PostgreSQL is reached: libpq's `sslmode`, `sslrootcert`, `sslcert` and `sslkey` in a URL, and TLS by rustls.
//!
//! tokio-postgres knows `disable`, `prefer` and `require` only, and verifies nothing itself. So [`Target::parse`] takes these four words
//! out of the URL, and [`Target::connect`] negotiates TLS itself, on the connection that tokio-postgres has made.
//!
//! It differs from libpq where libpq is weaker: the default for a host that is not local is `prefer`, as there, but a password is never
//! sent in clear without TLS; `prefer` goes on without TLS only if the server has none, or takes nobody with it; `allow` is `prefer`;
//! and `sslrootcert` without `sslmode` is `verify-full`.

mod files;
mod mode;
mod negotiation;
mod words;

use std::net::IpAddr;
use std::path::PathBuf;

use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Socket};

use mode::Mode;
use negotiation::Negotiation;
pub use negotiation::Stream;
use words::Words;

/// What drives a [`Client`]: poll it, or nothing happens.
pub type Connection = tokio_postgres::Connection<Socket, Stream>;

/// A database, and how to reach it. `Debug` hides the password.
#[derive(Clone, Debug)]
pub struct Target {
    config: Config,
    negotiation: Negotiation,
}

/// Why a URL leads nowhere, or not safely. No text of these holds a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a URL nor a connection string. Compare it with `postgresql://user@host:5432/database`.
    #[error("not a PostgreSQL URL")]
    Url(#[source] tokio_postgres::Error),
    /// A word that libpq does not have.
    #[error(
        "sslmode must be disable, allow, prefer, require, verify-ca or verify-full (allow is taken as prefer)"
    )]
    Mode,
    /// Nothing to verify by.
    #[error("sslmode={0} needs sslrootcert: a file of CA certificates (PEM), or `system`")]
    NoRoots(&'static str),
    /// Anybody has a certificate that the system's CAs have signed: without its name it says nothing.
    #[error("sslrootcert=system needs sslmode=verify-full")]
    WeakForSystem,
    /// One is of no use without the other.
    #[error("sslcert and sslkey go together")]
    HalfPair,
    /// There is no falling back from it.
    #[error("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")]
    WeakForDirect,
    /// A socket has no TLS, and both are one target.
    #[error("hosts and folders of sockets cannot stand in one URL: name one kind")]
    Mixed,
    /// A file cannot be read. Remedy: its path, its mode.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{path} holds no {wanted} in PEM format")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// The key may be read by others than its owner.
    #[error(
        "{path} may be read by others: set its mode to 0600, or 0640 if it belongs to root (as libpq demands)"
    )]
    OpenKey {
        /// The file.
        path: PathBuf,
    },
    /// The system has no CA certificates. Remedy: install its package `ca-certificates`, or name a file.
    #[error("sslrootcert=system: this system has no CA certificates")]
    NoSystemRoots,
    /// Certificates or key make no sense to rustls.
    #[error("{path} cannot be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// rustls refuses what we ask of it.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Target {
    /// Reads a URL or a connection string, and the files that it names, to see whether they can be used.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn parse(text: &str) -> Result<Target, Error> {
        let (rest, words) = words::take(text);
        let mut config: Config = rest.parse().map_err(Error::Url)?;
        let sockets = config.get_hosts().iter().filter(|host| is_socket(host));
        let sockets = sockets.count();
        if sockets > 0 && sockets == config.get_hosts().len() {
            // A socket has no TLS, whatever is asked for: so says libpq.
            config.ssl_mode(SslMode::Disable);
            config.ssl_negotiation(SslNegotiation::Postgres);
            let negotiation = Negotiation::new(Mode::Disable, Words::default(), true, false)?;
            return Ok(Target {
                config,
                negotiation,
            });
        }
        if sockets > 0 {
            return Err(Error::Mixed);
        }
        let is_local = is_local(&config);
        let mode = Mode::of(&words, is_local)?;
        let is_direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        let negotiation = Negotiation::new(mode, words, is_local, is_direct)?;
        // "Direct" has tokio-postgres leave everything to us, what comes before the handshake included.
        config.ssl_mode(SslMode::Require);
        config.ssl_negotiation(SslNegotiation::Direct);
        if config.get_hosts().is_empty() {
            // The name that certificates are compared with.
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        Ok(Target {
            config,
            negotiation,
        })
    }

    /// All that is not TLS: hosts, session settings, time limits.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same, to be changed. What it says of TLS must stay.
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Connects. The files are read anew, so that renewed certificates need no restart.
    ///
    /// # Errors
    /// What the driver says; faults of TLS are its source.
    pub async fn connect(&self) -> Result<(Client, Connection), tokio_postgres::Error> {
        let mut negotiation = self.negotiation.clone();
        negotiation.within = self.config.get_connect_timeout().copied();
        let connected = self.config.connect(negotiation.clone()).await;
        match connected {
            // `hostnossl` in pg_hba.conf: the server has TLS, but this user must come without.
            Err(refused)
                if negotiation.mode == Mode::Prefer
                    && refused.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) =>
            {
                negotiation.mode = Mode::Disable;
                self.config
                    .connect(negotiation)
                    .await
                    .map_err(|_also_refused| refused)
            }
            connected => connected,
        }
    }
}

fn is_socket(host: &Host) -> bool {
    matches!(host, Host::Unix(_))
}

/// Whether what is sent there does not leave this machine. Only what is evident counts: names are not looked up.
fn is_local(config: &Config) -> bool {
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> Result<Mode, String> {
        let parsed = Target::parse(text);
        parsed
            .map(|target| target.negotiation.mode)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_mode_depends_on_the_host_and_on_what_is_said() {
        for (text, wanted) in [
            ("postgres://u@localhost/d", Mode::Disable),
            ("postgres://u@127.0.0.2,[::1]/d", Mode::Disable),
            ("host=/run/pg user=u", Mode::Disable),
            ("host=/run/pg user=u sslmode=verify-full", Mode::Disable),
            ("postgres://u@db/d", Mode::Prefer),
            ("postgres://u@localhost,db/d", Mode::Prefer),
            ("host=localhost hostaddr=192.0.2.1", Mode::Prefer),
            ("postgres://u@db/d?sslmode=disable", Mode::Disable),
            ("postgres://u@db/d?sslmode=allow", Mode::Prefer),
            ("postgres://u@localhost/d?sslmode=require", Mode::Require),
            ("host=db sslmode = 'require' user=u", Mode::Require),
        ] {
            assert_eq!(mode(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_would_be_less_safe_than_it_looks_is_refused() {
        for (text, part) in [
            ("postgres://u@db?sslmode=strict", "verify-full"),
            ("postgres://u@db?sslmode=verify-ca", "needs sslrootcert"),
            ("postgres://u@db?sslmode=verify-full", "needs sslrootcert"),
            (
                "postgres://u@db?sslmode=require&sslrootcert=system",
                "needs sslmode=verify-full",
            ),
            ("postgres://u@db?sslcert=/c", "go together"),
            ("postgres://u@db?sslnegotiation=direct", "needs sslmode"),
            ("host=/run/pg,db user=u", "one kind"),
            (
                "postgres://u:secret@db?sslrootcert=/no/such",
                "cannot read /no/such",
            ),
            ("mysql://secret", "not a PostgreSQL URL"),
        ] {
            let refused = mode(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
            assert!(!refused.contains("secret"), "{text}: {refused}");
        }
    }

    #[test]
    fn an_address_without_a_name_is_its_own_name() {
        let target = Target::parse("hostaddr=192.0.2.1 user=u").unwrap();
        assert_eq!(
            target.config().get_hosts(),
            [Host::Tcp("192.0.2.1".to_owned())]
        );
        assert!(!format!("{:?}", Target::parse("postgres://u:secret@db")).contains("secret"));
    }

    /// What a server that is not ours might do: it has no TLS, and wants the password. `prefer` goes on with it, and says nothing.
    #[tokio::test]
    async fn no_password_goes_in_clear_to_another_machine() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let text =
            format!("host=db hostaddr=127.0.0.1 port={port} user=u password=secret sslmode=prefer");
        for is_local in [false, true] {
            let mut target = Target::parse(&text).unwrap();
            target.negotiation.is_local = is_local;
            let server = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut asked = [0; 8];
                socket.read_exact(&mut asked).await.unwrap();
                socket.write_all(b"N").await.unwrap();
                let length = socket.read_u32().await.unwrap() as usize;
                let mut startup = vec![0; length - 4];
                socket.read_exact(&mut startup).await.unwrap();
                socket.write_all(b"R\0\0\0\x08\0\0\0\x03").await.unwrap();
                let mut heard = vec![];
                if is_local {
                    heard.resize(12, 0);
                    socket.read_exact(&mut heard).await.unwrap();
                } else {
                    socket.read_to_end(&mut heard).await.unwrap();
                }
                String::from_utf8_lossy(&heard).into_owned()
            };
            let (connected, heard) = tokio::join!(target.connect(), server);
            assert_eq!(heard.contains("secret"), is_local, "{heard:?}");
            let error = connected.err().unwrap();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let is_refused = cause.is_some_and(|cause| cause.contains("was not sent"));
            assert_eq!(is_refused, !is_local, "{error:?}");
        }
    }
}
