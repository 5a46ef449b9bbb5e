//! Asks a server whether it is ready, over whichever of plain HTTP and TLS it speaks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, SignatureScheme, StreamOwned};

const QUESTION: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// First byte of what a server that speaks TLS answers to a question in clear: an alert.
const TLS_ALERT: u8 = 0x15;

/// Whether the server at `address` says that it is ready. One that wants a certificate of its clients is alive when it says so.
///
/// # Errors
/// No answer, or none within `timeout`.
pub fn is_ready(address: SocketAddr, timeout: Duration) -> io::Result<bool> {
    let answer = ask(connect(address, timeout)?)?;
    if answer.first() != Some(&TLS_ALERT) && !answer.is_empty() {
        return Ok(says_yes(&answer));
    }
    let name = ServerName::from(address.ip());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    match ask(StreamOwned::new(client, connect(address, timeout)?)) {
        Ok(answer) => Ok(says_yes(&answer)),
        Err(error) if error.to_string().contains("CertificateRequired") => Ok(true),
        Err(error) => Err(error),
    }
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

fn ask(mut stream: impl Read + Write) -> io::Result<Vec<u8>> {
    stream.write_all(QUESTION)?;
    stream.flush()?;
    let mut answer = vec![0; 64];
    let read = stream.read(&mut answer)?;
    answer.truncate(read);
    Ok(answer)
}

fn says_yes(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200")
}

/// Takes any certificate: nothing secret is said, and whether it is the right one is for clients to check.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
