//! The CA behind the issuers: a root that clients are told to trust, and the issuing CA below it, as with a public CA.

use std::fmt;

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

/// As long as a certificate of a public CA.
const LEAF_DAYS: i64 = 90;

/// Root and issuing CA.
pub(in crate::stand_in) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What goes into the Secret, all of it PEM.
#[derive(Debug)]
pub(in crate::stand_in) struct Issued {
    /// The leaf, then the issuing CA.
    pub chain: String,
    pub key: String,
    /// The issuing CA alone.
    pub issuer: String,
}

impl Authority {
    /// Makes both CAs, on P-256: the originals default to RSA-2048, whose keys take a thousand times longer to make.
    pub(in crate::stand_in) fn generate(now: OffsetDateTime) -> Result<Self, rcgen::Error> {
        let root =
            CertifiedIssuer::self_signed(ca("Sandbox Root CA", 1, now)?, KeyPair::generate()?)?;
        let issuing = CertifiedIssuer::signed_by(
            ca("Sandbox Issuing CA", 0, now)?,
            KeyPair::generate()?,
            &root,
        )?;
        Ok(Self { root, issuing })
    }

    /// The root certificate in PEM.
    pub(in crate::stand_in) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// Signs a new key for the names. The subject stays empty, as with public CAs of today, and so the names are critical
    /// (RFC 5280 section 4.2.1.6).
    pub(in crate::stand_in) fn issue(
        &self,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<Issued, rcgen::Error> {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, now)
    }

    /// Signs a new key of another customer, who may use it as a TLS client: public CAs certified for both for decades.
    pub(in crate::stand_in) fn issue_client(
        &self,
        now: OffsetDateTime,
    ) -> Result<Issued, rcgen::Error> {
        let names = ["customer.example.net".to_owned()];
        self.sign(&names, ExtendedKeyUsagePurpose::ClientAuth, now)
    }

    fn sign(
        &self,
        names: &[String],
        usage: ExtendedKeyUsagePurpose,
        now: OffsetDateTime,
    ) -> Result<Issued, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = params(None, now, Duration::days(LEAF_DAYS))?;
        params.subject_alt_names = names
            .iter()
            .map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)))
            .collect::<Result<_, rcgen::Error>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let leaf = params.signed_by(&key, &self.issuing)?;
        let issuer = self.issuing.pem();
        Ok(Issued {
            chain: format!("{}{issuer}", leaf.pem()),
            key: key.serialize_pem(),
            issuer,
        })
    }
}

fn ca(name: &str, below: u8, now: OffsetDateTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(Some(name), now, Duration::days(3650))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(params)
}

fn params(
    common_name: Option<&str>,
    now: OffsetDateTime,
    life: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    // An hour back, as public CAs do for slow clocks.
    params.not_before = now - Duration::hours(1);
    params.not_after = params.not_before + life;
    params.serial_number = Some(serial()?);
    Ok(params)
}

fn serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive, and of the same length always.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
