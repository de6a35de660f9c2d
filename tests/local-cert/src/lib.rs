//! Certificates for this machine alone: what `make cert` makes where there is no mkcert, and what tests show.
//!
//! The authority's key lives as long as its [`Authority`] and is never written: a client that trusts its certificate
//! trusts what it issued, and nothing that could be made later.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// Browsers take no longer life than this, in days.
const DAYS: i64 = 397;

/// One that issues certificates, for as long as it lives.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate; its issuer is the authority itself, so nothing stands between.
    pub cert: String,
    /// The private key (PKCS#8).
    pub key: String,
}

impl Authority {
    /// A new one with a P-256 key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new() -> Result<Self, Error> {
        let mut params = params(Vec::new(), "Entree local authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?))
    }

    /// Its own certificate in PEM: what clients are configured to trust.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of a server of these names: host names and addresses.
    ///
    /// # Errors
    /// A name cannot stand in a certificate.
    pub fn issue(&self, names: &[&str]) -> Result<Pair, Error> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = params(names, "Entree on this machine")?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        Ok(Pair {
            cert: params.signed_by(&key, &self.0)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn params(names: Vec<String>, who: &str) -> Result<CertificateParams, Error> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the ban protects the clock of the service; this is no part of it"
    )]
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, who);
    // Clocks differ a little.
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(DAYS);
    Ok(params)
}
