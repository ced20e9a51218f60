//! Whether sessions are encrypted, and whom the server's certificate must be vouched for by.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How sessions are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Tls {
    /// They are not.
    #[default]
    Off,
    /// They are, and the server proves that it is the host of the address.
    Verified {
        /// The certificates, in PEM, of those who vouch for it; `None` for the machine's own list.
        roots: Option<PathBuf>,
    },
}

impl Tls {
    pub(super) fn mode(&self) -> SslMode {
        match self {
            Self::Off => SslMode::Disable,
            Self::Verified { .. } => SslMode::Require,
        }
    }

    /// What makes a session's encryption; read anew for each, since certificates are renewed.
    ///
    /// # Errors
    /// A sentence, if there is nobody to vouch for a server.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, String> {
        let roots = match self {
            Self::Off => RootCertStore::empty(),
            Self::Verified { roots: Some(path) } => {
                let unusable = |cause: String| format!("the certificates of sslrootcert={}: {cause}", path.display());
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
                    let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                    roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
                }
                match roots.is_empty() {
                    true => return Err(unusable("there are none in the file".to_owned())),
                    false => roots,
                }
            }
            Self::Verified { roots: None } => {
                let found = MakeRustlsConnect::with_native_certs().map(|(connector, _unreadable)| connector);
                return found.map_err(|_| {
                    "this machine has no list of certificate authorities (Debian's package ca-certificates): install it, or name \
                     the server's with sslrootcert=PATH"
                        .to_owned()
                });
            }
        };
        Ok(MakeRustlsConnect::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let connector = |path: &PathBuf| Tls::Verified { roots: Some(path.clone()) }.connector().err().unwrap();
        assert!(connector(&path).contains("ca.pem"));
        std::fs::write(&path, "nothing of the kind").unwrap();
        assert!(connector(&path).contains("there are none"), "{}", connector(&path));
        Tls::Off.connector().unwrap();
    }
}
