//! The cluster's own certificate authority and what it signs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::error::ClusterError;

/// A certificate and its private key as files.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// A private authority, valid for one cluster, and the folder it writes to.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is nobody's business.
        f.debug_struct("Authority")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority; its certificate is `ca.crt` in `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self, ClusterError> {
        fs::create_dir_all(folder)
            .map_err(ClusterError::io(format!("create {}", folder.display())))?;
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "hosttask local cluster");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key)?;
        let authority = Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(parameters, key),
        };
        write_private(&authority.certificate(), &certificate.pem())?;
        Ok(authority)
    }

    /// The file that clients and servers trust.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Signs a certificate for servers on the loopback address, which etcd also uses as a client.
    pub(super) fn server(&self) -> Result<Identity, ClusterError> {
        let mut parameters =
            CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, "hosttask-server");
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign("server", parameters)
    }

    /// Signs a client certificate: Kubernetes reads `user` as the user's name and `group` as its group.
    pub(super) fn client(
        &self,
        file: &str,
        user: &str,
        group: Option<&str>,
    ) -> Result<Identity, ClusterError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, parameters)
    }

    /// Makes the key pair that signs and checks service account tokens (private, public).
    pub(super) fn service_account_keys(&self) -> Result<Identity, ClusterError> {
        let pair = KeyPair::generate()?;
        let files = self.files("service-account");
        write_private(&files.key, &pair.serialize_pem())?;
        write_private(&files.certificate, &pair.public_key_pem())?;
        Ok(files)
    }

    fn sign(
        &self,
        file: &str,
        mut parameters: CertificateParams,
    ) -> Result<Identity, ClusterError> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let files = self.files(file);
        write_private(&files.certificate, &certificate.pem())?;
        write_private(&files.key, &key.serialize_pem())?;
        Ok(files)
    }

    fn files(&self, file: &str) -> Identity {
        Identity {
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        }
    }
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ClusterError::io(format!("write {}", path.display())))
}
