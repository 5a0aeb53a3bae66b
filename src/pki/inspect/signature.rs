//! Whether a signature on a certificate or CRL verifies.

use crate::pki::public_key::PublicKeyKind;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::{
    asn1_rs::BitString,
    certificate::X509Certificate,
    prelude::FromDer,
    verify::verify_signature,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

pub(super) fn certificate_verifies(certificate: &[u8], public_key: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| {
        verifies(
            public_key,
            &parsed.signature_algorithm,
            &parsed.signature_value,
            parsed.tbs_certificate.as_ref(),
        )
    })
}

/// Whether `signature` over `signed` verifies under the `SubjectPublicKeyInfo` in DER.
pub(in crate::pki) fn verifies(
    public_key: &[u8],
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &BitString<'_>,
    signed: &[u8],
) -> bool {
    let Ok((_, key)) = SubjectPublicKeyInfo::from_der(public_key) else {
        return false;
    };
    // x509-parser knows neither longer hashes than the curve, nor P-521, nor RSA below 2048 bits, which gateways accept in a CA.
    let oid = algorithm.algorithm.to_id_string();
    let further: Option<&dyn VerificationAlgorithm> = match (PublicKeyKind::of(public_key), &*oid) {
        (PublicKeyKind::P256, "1.2.840.10045.4.3.3") => Some(&ECDSA_P256_SHA384_ASN1),
        (PublicKeyKind::P256, "1.2.840.10045.4.3.4") => Some(&ECDSA_P256_SHA512_ASN1),
        (PublicKeyKind::P384, "1.2.840.10045.4.3.4") => Some(&ECDSA_P384_SHA512_ASN1),
        (PublicKeyKind::P521, "1.2.840.10045.4.3.2") => Some(&ECDSA_P521_SHA256_ASN1),
        (PublicKeyKind::P521, "1.2.840.10045.4.3.3") => Some(&ECDSA_P521_SHA384_ASN1),
        (PublicKeyKind::P521, "1.2.840.10045.4.3.4") => Some(&ECDSA_P521_SHA512_ASN1),
        (PublicKeyKind::Rsa(_), "1.2.840.113549.1.1.11") => {
            Some(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
        }
        _ => None,
    };
    match further {
        Some(further) => UnparsedPublicKey::new(further, &key.subject_public_key.data)
            .verify(signed, &signature.data)
            .is_ok(),
        None => verify_signature(&key, algorithm, signature, signed).is_ok(),
    }
}
