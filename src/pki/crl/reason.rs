//! Reasons of revocation.

use rcgen::RevocationReason;
use std::{fmt, str::FromStr};
use thiserror::Error;
use x509_parser::x509::ReasonCode;

/// Why a certificate was revoked (RFC 5280, 5.3.1); only the reasons that apply to client
/// certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reason {
    /// No reason given; takes no space in the list.
    #[default]
    Unspecified,
    /// The key is known to others, or may be.
    KeyCompromise,
    /// The client belongs to another organization now.
    AffiliationChanged,
    /// Another certificate replaced this one.
    Superseded,
    /// The certificate is no longer needed.
    CessationOfOperation,
    /// The certificate is suspended.
    CertificateHold,
    /// The client lost its permission.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
    ];

    /// The name in RFC 5280.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }

    pub(super) fn encoded(self) -> Option<RevocationReason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Self::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            Self::Superseded => Some(RevocationReason::Superseded),
            Self::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
            Self::CertificateHold => Some(RevocationReason::CertificateHold),
            Self::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
        }
    }

    pub(super) fn decoded(code: ReasonCode) -> Self {
        match code {
            ReasonCode::KeyCompromise | ReasonCode::CACompromise | ReasonCode::AACompromise => {
                Self::KeyCompromise
            }
            ReasonCode::AffiliationChanged => Self::AffiliationChanged,
            ReasonCode::Superseded => Self::Superseded,
            ReasonCode::CessationOfOperation => Self::CessationOfOperation,
            ReasonCode::CertificateHold => Self::CertificateHold,
            ReasonCode::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            _ => Self::Unspecified,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Reason {
    /// Serializes the name in RFC 5280.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A name that is not a [`Reason`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown reason `{given}`; one of {}", Reason::ALL.map(Reason::name).join(", "))]
pub struct UnknownReason {
    given: String,
}

impl FromStr for Reason {
    type Err = UnknownReason;

    /// Reads the name in RFC 5280, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownReason {
                given: name.to_owned(),
            })
    }
}
