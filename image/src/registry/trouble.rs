//! What goes wrong on the way to a registry, and whether asking again may help.

use crate::{Error, Kind};
use oci_distribution::errors::{OciEnvelope, OciErrorCode};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// As much of what the other end writes as a person may see.
const QUOTED: usize = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Nobody answers there; another way may lead to somebody.
    Unreachable,
    /// Somebody answers whose certificate does not hold.
    Unsafe,
    /// No answer in time.
    Late,
    /// It may go better in a while; the registry may have said when.
    Passing(Option<Duration>),
    Missing,
    Denied,
    /// The other end said something that is not true.
    Untrue,
    Limit,
    /// Anything else; asking again would not change it.
    Final,
    /// Nothing that the registry did.
    Ours,
}

#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) sort: Sort,
    /// What the registry did, as the end of a sentence that begins with its name.
    pub(super) what: String,
    remedy: Option<String>,
}

impl Trouble {
    pub(super) fn new(sort: Sort, what: impl Into<String>) -> Trouble {
        Trouble { sort, what: what.into(), remedy: None }
    }

    /// Something on this machine.
    pub(super) fn ours(error: Error) -> Trouble {
        Trouble { sort: Sort::Ours, what: error.what, remedy: error.remedy }
    }

    /// What the HTTP library says.
    pub(super) fn from_http(error: &reqwest::Error) -> Trouble {
        let text = chain(error);
        if certificate(error) {
            return Trouble::new(Sort::Unsafe, format!("cannot be reached safely: {text}"));
        }
        match error {
            e if e.is_connect() => Trouble::new(Sort::Unreachable, format!("cannot be reached: {}", root_cause(e))),
            e if e.is_timeout() => Trouble::new(Sort::Late, "did not answer in time"),
            e if e.is_builder() => Trouble::new(Sort::Final, format!("cannot be asked: {text}")),
            _ => Trouble::new(Sort::Passing(None), format!("broke off: {text}")),
        }
    }

    /// What an answer that is none means. `body` is the beginning of it.
    pub(super) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Trouble {
        let envelope = serde_json::from_slice::<OciEnvelope>(body).ok();
        let errors = envelope.map(|envelope| envelope.errors).unwrap_or_default();
        let unknown = |code: &OciErrorCode| {
            use OciErrorCode::{BlobUnknown, ManifestUnknown, NameUnknown, NotFound};
            matches!(code, BlobUnknown | ManifestUnknown | NameUnknown | NotFound)
        };
        let said = match errors.first() {
            Some(first) if !first.message.is_empty() => first.message.clone(),
            _ => String::from_utf8_lossy(body).into_owned(),
        };
        let said = inert(said.trim());
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        match status.as_u16() {
            404 => Trouble::new(Sort::Missing, "has no such image"),
            _ if errors.iter().any(|error| unknown(&error.code)) => Trouble::new(Sort::Missing, "has no such image"),
            401 | 403 => Trouble::new(Sort::Denied, "does not let us have it (it may also not exist)"),
            408 | 429 | 500 | 502 | 503 | 504 => {
                let after = retry_after(headers);
                let when = after.map(|after| format!(" (it asks to be left alone for {} s)", after.as_secs()));
                Trouble::new(Sort::Passing(after), format!("answered {status}{said}{}", when.unwrap_or_default()))
            }
            _ => Trouble::new(Sort::Final, format!("answered {status}{said}")),
        }
    }

    pub(super) fn into_error(self, registry: &str) -> Error {
        let kind = match self.sort {
            Sort::Missing => Kind::Missing,
            Sort::Untrue => Kind::Unverified,
            Sort::Limit => Kind::Limit,
            _ => Kind::Registry,
        };
        if self.sort == Sort::Ours {
            return Error { kind, what: self.what, remedy: self.remedy };
        }
        let error = Error::new(kind, format!("{registry} {}", self.what));
        match self.sort {
            Sort::Missing => error.remedy("check the name and the tag; what a registry does not show without a login it may deny as well"),
            Sort::Denied => error.remedy(format!("check the name, or log in: docker login {registry}")),
            // Docker Hub needs neither of the other two.
            Sort::Unreachable if registry == "docker.io" => error.remedy(
                "check the network; where a proxy is needed, HTTPS_PROXY names it; without a network: `--runtime host`, or an image from a file (`oci-archive:FILE`)",
            ),
            Sort::Unreachable | Sort::Unsafe => error.remedy(format!(
                "check the network; if {registry} speaks plain HTTP or has no valid certificate, say --insecure-registry {registry}"
            )),
            _ => error,
        }
    }
}

/// Whether somebody answered, but not with a certificate that holds.
fn certificate(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        let tls = cause.downcast_ref::<rustls::Error>();
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))) {
            return true;
        }
        // Such an error hides what it wraps from those who ask for its source.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| cause.source());
    }
    false
}

/// An error with its causes: the first line alone often says nothing.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text.chars().take(2 * QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What the system said at last: the layers above it only say that they could not connect.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    chain(last)
}

/// The other end wrote this, and it goes to a terminal.
pub(super) fn inert(text: &str) -> String {
    text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(http_date(text)?.saturating_sub(now)))
}

/// Seconds since 1970 of a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let day: u64 = words.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok().filter(|part| *part <= 60));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next()? != "GMT" || clock.next().is_some() {
        return None;
    }
    // Days since 1970, with years that begin in March, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = (year * 365 + leaps + (153 * month + 2) / 5 + day - 1).checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn answered(status: u16, headers: &[(&'static str, &str)], body: &str) -> Trouble {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        Trouble::from_answer(StatusCode::from_u16(status).unwrap(), &map, body.as_bytes())
    }

    #[test]
    fn dates_are_read_as_http_writes_them() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for wrong in ["", "06 Nov 1994", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1969 08:49:37 GMT", "Sun, 6 X"] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for passing in [408, 429, 500, 502, 503, 504] {
            assert_eq!(answered(passing, &[], "").sort, Sort::Passing(None), "{passing}");
        }
        let asked = answered(503, &[("retry-after", "17")], "");
        assert_eq!(asked.sort, Sort::Passing(Some(Duration::from_secs(17))));
        let past = answered(429, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], "");
        assert_eq!(past.sort, Sort::Passing(Some(Duration::ZERO)));
        assert_eq!(answered(429, &[("retry-after", "soon")], "").sort, Sort::Passing(None));
        assert_eq!(answered(404, &[], "").sort, Sort::Missing);
        assert_eq!(answered(400, &[], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#).sort, Sort::Missing);
        assert_eq!((answered(401, &[], "").sort, answered(403, &[], "").sort), (Sort::Denied, Sort::Denied));
        assert_eq!((answered(400, &[], "").sort, answered(501, &[], "").sort), (Sort::Final, Sort::Final));
    }

    #[test]
    fn what_a_registry_writes_is_quoted_short_and_inert() {
        let body = format!(r#"{{"errors":[{{"code":"X","message":"no \u001b[31m{}"}}]}}"#, "y".repeat(5000));
        let said = answered(500, &[], &body).into_error("r.example").what;
        assert!(said.starts_with("r.example answered 500") && said.contains("no  [31my"), "{said}");
        assert!(said.len() < 400 && !said.chars().any(char::is_control), "{}", said.len());
    }
}
