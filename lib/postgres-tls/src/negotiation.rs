//! The beginning of a connection: whether TLS is spoken on it, and the watch over one where it is not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::mode::Mode;
use crate::words::Words;
use crate::{Error, files};

/// "Do you speak TLS?": length 8, and the number that stands where a version does. PostgreSQL's documentation, section 54.2.11.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// AuthenticationCleartextPassword: "send me your password as it is".
const PASSWORD_WANTED: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Begins connections to one target.
#[derive(Clone, Debug)]
pub(crate) struct Negotiation {
    pub(crate) mode: Mode,
    /// How long it may take.
    pub(crate) within: Option<Duration>,
    pub(crate) is_local: bool,
    words: Words,
    /// TLS from the first byte on, without asking.
    is_direct: bool,
    /// Whether it was said that a connection is not encrypted; once for each target.
    has_warned: Arc<AtomicBool>,
}

impl Negotiation {
    pub(crate) fn new(
        mode: Mode,
        words: Words,
        is_local: bool,
        is_direct: bool,
    ) -> Result<Negotiation, Error> {
        if words.certificate.is_some() != words.key.is_some() {
            return Err(Error::HalfPair);
        }
        if is_direct && !mode.is_strict() {
            return Err(Error::WeakForDirect);
        }
        if mode != Mode::Disable {
            files::client(mode, &words)?;
        }
        Ok(Negotiation {
            mode,
            within: None,
            words,
            is_local,
            is_direct,
            has_warned: Arc::default(),
        })
    }
}

impl MakeTlsConnect<Socket> for Negotiation {
    type Stream = Stream;
    type TlsConnect = Beginning;
    type Error = Error;

    /// Reads the files: a few, small ones, once for a connection that is kept for hours.
    fn make_tls_connect(&mut self, domain: &str) -> Result<Beginning, Error> {
        let rustls = match self.mode {
            Mode::Disable => None,
            mode => {
                let mut make = MakeRustlsConnect::new(files::client(mode, &self.words)?);
                let made = MakeTlsConnect::<Socket>::make_tls_connect(&mut make, domain);
                Some(made.unwrap_or_else(|never| match never {}))
            }
        };
        Ok(Beginning {
            rustls,
            host: domain.to_owned(),
            with: self.clone(),
        })
    }
}

/// One connection that begins.
pub(crate) struct Beginning {
    /// `None`: no TLS.
    rustls: Option<RustlsConnect>,
    host: String,
    with: Negotiation,
}

impl TlsConnect<Socket> for Beginning {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let within = self.with.within;
        let begun = self.begin(socket);
        Box::pin(async move {
            match within {
                None => begun.await,
                Some(limit) => tokio::time::timeout(limit, begun)
                    .await
                    .unwrap_or_else(|_| {
                        let late = "the server did not finish the TLS handshake in time";
                        Err(io::Error::new(io::ErrorKind::TimedOut, late))
                    }),
            }
        })
    }
}

impl Beginning {
    async fn begin(self, mut socket: Socket) -> io::Result<Stream> {
        let Some(rustls) = self.rustls else {
            return Ok(self.with.plain(socket, &self.host));
        };
        if !self.with.is_direct {
            socket.write_all(&SSL_REQUEST).await?;
            // One byte, and what may follow it is TLS or nothing: whatever an intruder puts behind it is not taken for an answer.
            match socket.read_u8().await? {
                b'S' => {}
                b'N' if !self.with.mode.is_strict() => {
                    return Ok(self.with.plain(socket, &self.host));
                }
                b'N' => {
                    return Err(io::Error::other(
                        "the server has no TLS (`ssl = off`), and sslmode asks for it",
                    ));
                }
                _ => {
                    return Err(io::Error::other(
                        "the server does not say whether it has TLS",
                    ));
                }
            }
        }
        rustls.connect(socket).await.map(Stream::tls)
    }
}

impl Negotiation {
    fn plain(&self, socket: Socket, host: &str) -> Stream {
        if !self.is_local && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                database.host = host,
                "the connection to the database is not encrypted; sslmode=verify-full prevents that"
            );
        }
        Stream(Inner::Plain {
            socket,
            watch: (!self.is_local).then(Watch::default),
        })
    }
}

/// What a connection is made of. A server on another machine that asks for the password in clear, without TLS, gets no answer.
pub struct Stream(Inner);

enum Inner {
    Plain {
        socket: Socket,
        watch: Option<Watch>,
    },
    Tls(Box<Rustls>),
}

impl Stream {
    fn tls(stream: Rustls) -> Stream {
        Stream(Inner::Tls(Box::new(stream)))
    }
}

/// Looks at the first message of the server. It decides how we authenticate ourselves: tokio-postgres refuses every other one that asks
/// for a password later.
#[derive(Default)]
struct Watch {
    seen: Vec<u8>,
}

impl Watch {
    /// Whether `bytes`, which come next, make it a request for the password.
    fn refuses(&mut self, bytes: &[u8]) -> bool {
        let missing = PASSWORD_WANTED.len() - self.seen.len();
        self.seen.extend(bytes.iter().take(missing));
        self.seen == PASSWORD_WANTED
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Inner::Plain { socket, watch } => {
                let before = buffer.filled().len();
                ready!(Pin::new(socket).poll_read(context, buffer))?;
                let read = buffer.filled().get(before..).unwrap_or_default();
                if watch.as_mut().is_some_and(|watch| watch.refuses(read)) {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        "the server asks for the password in clear on a connection without TLS: it was not sent; \
                         use TLS (sslmode=verify-full), or scram-sha-256 in pg_hba.conf",
                    )));
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Inner::Plain { socket, .. } => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Tls(stream) => Pin::new(stream).poll_flush(context),
            Inner::Plain { socket, .. } => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Inner::Plain { socket, .. } => Pin::new(socket).poll_shutdown(context),
        }
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.0 {
            Inner::Tls(stream) => stream.channel_binding(),
            Inner::Plain { .. } => ChannelBinding::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_the_password_is_seen_in_whatever_pieces_it_comes() {
        for size in 1..=9 {
            let mut watch = Watch::default();
            let mut pieces = PASSWORD_WANTED.chunks(size).peekable();
            while let Some(piece) = pieces.next() {
                let is_last = pieces.peek().is_none();
                assert_eq!(watch.refuses(piece), is_last, "{size}");
            }
        }
        // MD5 and SCRAM send something else, and later bytes are none of its business.
        let mut watch = Watch::default();
        assert!(!watch.refuses(&[b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4]));
        assert!(!watch.refuses(&PASSWORD_WANTED));
    }
}
