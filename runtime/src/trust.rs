//! Whom a sandbox trusts, for those who do not read PEM: Java has stores of its own. This one is a PKCS #12 file without
//! encryption and without a password, which every Java since 8 reads: there is nothing secret in certificates.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Where the certificates lie that a task with opened TLS has to trust: those of the root, and the run's own.
pub const TRUST: &str = "/etc/aido/trust.pem";
/// The same for Java.
pub const TRUST_STORE: &str = "/etc/aido/trust.p12";

/// Where programs look for whom they trust: Debian and its kin, Fedora and its kin, openSUSE (where its link leads, and the
/// link), Alpine.
pub const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Object identifiers, as DER has them.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const CERT_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
/// Oracle's: a certificate without it is no trusted one for Java.
const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const BMP_TEXT: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const EXPLICIT: u8 = 0xa0;

/// A bundle of certificates, and one more at its end.
pub fn with_authority(bundle: &str, authority: &str) -> String {
    let end = if bundle.is_empty() || bundle.ends_with('\n') { "" } else { "\n" };
    format!("{bundle}{end}{authority}")
}

/// The certificates of a PEM text as a store for Java; what is no certificate in it is left out.
pub fn trust_store(pem: &str) -> Vec<u8> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
    let bags: Vec<Vec<u8>> = found.enumerate().map(|(number, one)| bag(number, &one)).collect();
    let bags = data(&tagged(SEQUENCE, &[&bags.concat()]));
    tagged(SEQUENCE, &[&tagged(INTEGER, &[&[3]]), &data(&tagged(SEQUENCE, &[&bags]))])
}

/// One trusted certificate, under a name that no other one has.
fn bag(number: usize, certificate: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = format!("trusted-{number}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let certificate = tagged(EXPLICIT, &[&tagged(OCTETS, &[certificate])]);
    let certificate = tagged(EXPLICIT, &[&tagged(SEQUENCE, &[&tagged(OBJECT, &[X509]), &certificate])]);
    let named = attribute(FRIENDLY_NAME, &tagged(BMP_TEXT, &[&name]));
    let trusted = attribute(TRUSTED_KEY_USAGE, &tagged(OBJECT, &[ANY_USAGE]));
    // DER has the members of a set in order.
    let mut attributes = [named, trusted];
    attributes.sort();
    tagged(SEQUENCE, &[&tagged(OBJECT, &[CERT_BAG]), &certificate, &tagged(SET, &[&attributes.concat()])])
}

fn attribute(of: &[u8], value: &[u8]) -> Vec<u8> {
    tagged(SEQUENCE, &[&tagged(OBJECT, &[of]), &tagged(SET, &[value])])
}

/// Content that is neither signed nor encrypted.
fn data(content: &[u8]) -> Vec<u8> {
    tagged(SEQUENCE, &[&tagged(OBJECT, &[DATA]), &tagged(EXPLICIT, &[&tagged(OCTETS, &[content])])])
}

/// DER: a tag, how long it is, and what is in it.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length: Vec<u8> = content.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let mut whole = vec![tag];
    match length.as_slice() {
        [] => whole.push(0),
        [short] if *short < 0x80 => whole.push(*short),
        long => {
            // At most eight of them.
            whole.push(0x80 | long.len() as u8);
            whole.extend_from_slice(long);
        }
    }
    whole.extend(content);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_they_can_be() {
        assert_eq!(tagged(OCTETS, &[]), [4, 0]);
        assert_eq!(tagged(OCTETS, &[&[7; 127]])[..2], [4, 127]);
        assert_eq!(tagged(OCTETS, &[&[7; 128]])[..3], [4, 0x81, 128]);
        assert_eq!(tagged(OCTETS, &[&[7; 255], &[7]])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn what_is_no_certificate_is_left_out() {
        let pem = "# words\n-----BEGIN CERTIFICATE-----\nMAYCAQECAQI=\n-----END CERTIFICATE-----\n\
                   -----BEGIN PRIVATE KEY-----\nMAYCAQMCAQQ=\n-----END PRIVATE KEY-----\n";
        let store = trust_store(pem);
        let has = |what: &[u8]| store.windows(what.len()).any(|window| window == what);
        assert!(has(&[0x04, 8, 0x30, 6, 2, 1, 1, 2, 1, 2]) && !has(&[2, 1, 3, 2, 1, 4]));
        // All of it is one value.
        assert_eq!(usize::from(store[1]) & 0x7f, 1);
        assert_eq!(usize::from(store[2]), store.len() - 3);
    }
}
