//! PAX extended header records.

use super::sparse::PaxSparse;
use super::value::{decimal, name, once};
use super::{hostile, shown};
use crate::{Error, Kind, Result, limits};

/// What of the records changes an entry; the rest (user names, access times, comments) is not read.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
}

impl Pax {
    /// Reads `LENGTH KEY=VALUE\n` records. The length rules: values may hold newlines.
    pub(super) fn parse(mut data: &[u8]) -> Result<Pax> {
        let mut pax = Pax::default();
        while !data.is_empty() {
            let malformed = || hostile(format!("the extended header has a malformed record at {}", shown(data)));
            let space = data.iter().position(|b| *b == b' ').ok_or_else(malformed)?;
            let length = decimal(&data[..space]).and_then(|l| usize::try_from(l).ok()).ok_or_else(malformed)?;
            if length > data.len() || length < space + 2 {
                return Err(malformed());
            }
            let record = data[space + 1..length].strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(malformed)?;
            pax.take(&record[..equals], &record[equals + 1..])?;
            data = &data[length..];
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let wrong = || hostile(format!("the extended header has a wrong value for {}", shown(key)));
        let number = || decimal(value).ok_or_else(wrong);
        match key {
            b"path" => once(&mut self.path, name(value, key)?, key)?,
            b"linkpath" => once(&mut self.link, name(value, key)?, key)?,
            b"size" => once(&mut self.size, number()?, key)?,
            b"uid" => once(&mut self.uid, number()?, key)?,
            b"gid" => once(&mut self.gid, number()?, key)?,
            b"mtime" => once(&mut self.mtime, time(value).ok_or_else(wrong)?, key)?,
            _ => {
                // Sparse files of Solaris and of star, which nobody else knows.
                if matches!(key, b"SUN.holesdata" | b"SCHILY.realsize") {
                    return Err(hostile(format!("the extended header has {}, which few readers know", shown(key))));
                }
                if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                    if self.xattrs.len() >= limits::XATTRS {
                        let what = format!("an entry has more than {} extended attributes", limits::XATTRS);
                        return Err(Error::new(Kind::Limit, what));
                    }
                    self.xattrs.push((attribute.to_vec(), value.to_vec()));
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(key, value)?;
                }
            }
        }
        Ok(())
    }

    /// A global header may comment; one that changes entries is read differently by every tool.
    pub(super) fn refuse_global(&self) -> Result<()> {
        let changes = self.path.is_some()
            || self.link.is_some()
            || self.size.is_some()
            || self.uid.is_some()
            || self.gid.is_some()
            || self.mtime.is_some()
            || !self.xattrs.is_empty()
            || !self.sparse.is_empty();
        if changes { Err(hostile("a global extended header changes the entries after it")) } else { Ok(()) }
    }
}

/// Decimal seconds, perhaps negative, perhaps with a fraction.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let mut parts = value.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or(b"0");
    let mut nanos = 0;
    if !fraction.is_empty() && !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    for place in 0..9 {
        nanos = nanos * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'));
    }
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_by_length_and_not_by_newline() {
        let pax = Pax::parse(b"14 path=a\nb=c\n21 SCHILY.xattr.u=\n\0\n").unwrap();
        assert_eq!(pax.path.unwrap(), b"a\nb=c");
        assert_eq!(pax.xattrs, [(b"u".to_vec(), b"\n\0".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for wrong in [
            &b"path=a\n"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"99 path=a\n",
            b"0 \n",
            b"10 path=a ",
            b" path=a\n",
            b"8 path\n\n",
            b"10 size=1\n11 uid=-1\n",
            b"+10 path=a\n",
            b"10 path=a\n10 path=b\n",
            b"8 path=\n",
            b"10 path=\0\n",
        ] {
            assert!(Pax::parse(wrong).is_err(), "{:?} was taken", wrong.escape_ascii().to_string());
        }
    }

    #[test]
    fn times_keep_their_fraction_on_both_sides_of_1970() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"7."), Some((7, 0)));
        assert_eq!(time(b"1.0000000019"), Some((1, 1)));
        assert_eq!((time(b""), time(b"1e9"), time(b"1.x"), time(b"--1")), (None, None, None, None));
    }
}
