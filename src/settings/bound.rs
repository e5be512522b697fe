//! What can be measured: how it is written, and between which values it lies.

use super::error::{At, Error, Result, Told};
use super::units::{self, TTL};
use std::ops::RangeInclusive;

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// One thing that a sandbox has so much of.
pub(super) struct Bound {
    /// As it stands in a sentence.
    name: &'static str,
    pub(super) unit: Unit,
    pub(super) range: RangeInclusive<u64>,
    parse: fn(&str) -> std::result::Result<u64, String>,
    pub(super) show: fn(u64) -> String,
}

/// How an amount is written.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Time,
    Size,
    Processors,
    Count,
}

/// In seconds.
pub(super) const TIME: Bound = Bound {
    name: "a ttl",
    unit: Unit::Time,
    range: TTL.start().as_secs()..=TTL.end().as_secs(),
    parse: |text| units::duration(text).map(|time| time.as_secs()),
    show: |seconds| units::show_duration(std::time::Duration::from_secs(seconds)),
};
pub(super) const MEMORY: Bound = size("memory", 4 * MIB..=16 * TIB);
pub(super) const DISK: Bound = size("disk", 64 * 1024..=16 * TIB);
pub(super) const OUTPUT: Bound = size("output", 1024..=TIB);
/// In thousandths of a processor.
pub(super) const CPUS: Bound = Bound {
    name: "cpus",
    unit: Unit::Processors,
    range: 10..=1_024_000,
    parse: units::processors,
    show: units::show_processors,
};
/// Of a task's traffic.
pub(super) const TRAFFIC: Bound = size("bytes", 1024..=16 * TIB);
pub(super) const CONNECTIONS: Bound = Bound {
    name: "connections",
    unit: Unit::Count,
    range: 1..=1_000_000_000,
    parse: |text| text.parse().map_err(|_| format!("`{text}` is no whole number")),
    show: |number| number.to_string(),
};
pub(super) const PIDS: Bound = Bound {
    name: "pids",
    unit: Unit::Count,
    range: 1..=4_194_304,
    parse: |text| text.parse().map_err(|_| format!("`{text}` is no whole number")),
    show: |number| number.to_string(),
};

const fn size(name: &'static str, range: RangeInclusive<u64>) -> Bound {
    Bound { name, unit: Unit::Size, range, parse: units::bytes, show: units::show_bytes }
}

impl Bound {
    /// The value that was written, if it can be had at all.
    pub(super) fn read(&self, told: &Told<String>) -> Result<Told<u64>> {
        let fail = |what: String| Error::new(told.at.clone(), what);
        let value = (self.parse)(&told.value).map_err(fail)?;
        if !self.range.contains(&value) {
            let (from, to) = ((self.show)(*self.range.start()), (self.show)(*self.range.end()));
            let what = format!("{} of {} is out of range; it lies between {from} and {to}", self.name, told.value);
            return Err(fail(what));
        }
        Ok(Told::new(value, told.at.clone()))
    }

    /// The same, if the user's policy allows it.
    pub(super) fn read_below(&self, told: &Told<String>, ceiling: Option<&Told<u64>>) -> Result<u64> {
        let value = self.read(told)?.value;
        let Some(ceiling) = ceiling.filter(|ceiling| ceiling.value < value) else { return Ok(value) };
        let most = (self.show)(ceiling.value);
        let what = format!(
            "{} of {} is more than the {most} that your policy allows ({})",
            self.name,
            told.value,
            ceiling.at.spot()
        );
        Err(Error::new(told.at.clone(), what).remedy(match told.at {
            At::Flag(_) => {
                format!("ask for {most} or less, or raise the ceiling in your policy: it binds what you type too")
            }
            _ => format!("write {most} or less, or raise the ceiling in your policy"),
        }))
    }
}

impl Bound {
    /// So much of a value as is in range and below the ceiling.
    pub(super) fn at_most(&self, wanted: u64, ceiling: Option<&Told<u64>>) -> u64 {
        lowered(wanted.clamp(*self.range.start(), *self.range.end()), ceiling)
    }
}

/// What nobody asked for stays below the ceiling without a word.
pub(super) fn lowered(default: u64, ceiling: Option<&Told<u64>>) -> u64 {
    ceiling.map_or(default, |ceiling| default.min(ceiling.value))
}
