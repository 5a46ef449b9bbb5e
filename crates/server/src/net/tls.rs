//! Certificates, read again when their files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::options::TlsFiles;
use crate::watched::Watched;

/// What is wrong with a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or has not in it what it should.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not belong together, for instance.
    #[error("TLS cannot be set up with {} and {}: {cause}", certificate.display(), key.display())]
    Setup {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls says.
        cause: String,
    },
}

/// The certificate that connections get.
pub(crate) struct Tls {
    files: TlsFiles,
    watched: Watched,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let TlsFiles { certificate, key, client_ca } = files;
        let watched = Watched::new([certificate, key].into_iter().chain(client_ca).cloned());
        Ok(Self { files: files.clone(), watched, config: RwLock::new(Arc::new(config(files)?)) })
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the files if one has changed, or in any case where that is `asked` for; says whether. What cannot be used leaves
    /// all as it was.
    pub(crate) fn reload(&self, asked: bool) -> Result<bool, TlsError> {
        let Some(config) = self.watched.reload(asked, || config(&self.files))? else { return Ok(false) };
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(true)
    }
}

fn config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let TlsFiles { certificate, key, client_ca } = files;
    let setup = |cause: String| TlsError::Setup { certificate: certificate.clone(), key: key.clone(), cause };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsError::File { path: path.clone(), reason: error.to_string() })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| setup(error.to_string()))?)
        }
    };
    let private_key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| TlsError::File { path: key.clone(), reason: format!("no private key in PEM: {error}") })?;
    let mut config =
        builder.with_single_cert(certificates(certificate)?, private_key).map_err(|error| setup(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { path: path.to_path_buf(), reason };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(format!("no certificate in PEM: {error}")))?;
    let certificates: Result<Vec<_>, _> = read.collect();
    let certificates = certificates.map_err(|error| wrong(format!("no certificate in PEM: {error}")))?;
    if certificates.is_empty() { Err(wrong("no certificate in PEM".to_owned())) } else { Ok(certificates) }
}
