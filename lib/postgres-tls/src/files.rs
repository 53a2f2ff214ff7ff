//! From files to a configuration of rustls: whom we believe, and who we are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::Error;
use crate::mode::{Mode, SYSTEM};
use crate::words::Words;

/// What PostgreSQL is called in ALPN: a server of another protocol refuses it, and PostgreSQL wants it with `sslnegotiation=direct`.
const PROTOCOL: &[u8] = b"postgresql";

/// How the handshake is made.
pub(crate) fn client(mode: Mode, words: &Words) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let roots = || -> Result<Arc<WebPkiServerVerifier>, Error> {
        let roots = Arc::new(roots(words.roots.as_deref().unwrap_or_default())?);
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| Error::Tls(rustls::Error::General(error.to_string())))
    };
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        Mode::VerifyFull => roots()?,
        Mode::VerifyCa => Arc::new(Lenient {
            chain: Some(roots()?),
            provider: Arc::clone(&provider),
        }),
        Mode::Disable | Mode::Prefer | Mode::Require => Arc::new(Lenient {
            chain: None,
            provider: Arc::clone(&provider),
        }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&words.certificate, &words.key) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate.as_ref())?, key_of(key.as_ref())?)
            .map_err(|source| Error::Unusable {
                path: certificate.into(),
                source,
            })?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

fn roots(from: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if from == SYSTEM {
        let found = rustls_native_certs::load_native_certs();
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        return match usable {
            0 => Err(Error::NoSystemRoots),
            _ => Ok(roots),
        };
    }
    for certificate in certificates(from.as_ref())? {
        roots.add(certificate).map_err(|source| Error::Unusable {
            path: from.into(),
            source,
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::Empty {
            path: path.to_owned(),
            wanted: "certificate",
        }),
    }
}

fn key_of(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let about = fs::metadata(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let forbidden = match about.uid() {
        0 => 0o037,
        _ => 0o077,
    };
    if about.mode() & forbidden != 0 {
        return Err(Error::OpenKey {
            path: path.to_owned(),
        });
    }
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| Error::Empty {
        path: path.to_owned(),
        wanted: "unencrypted private key",
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// Believes any certificate, or with `chain` one that has been signed as it should be, whatever name is in it. That the server has the
/// certificate's key is always checked.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: all else was right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
