//! What the head of an attack's file says.

use super::claim::Claim;
use super::room::Room;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    C,
    Python,
    Shell,
    /// The attack is a sandbox.yaml.
    Yaml,
}

/// Where the attack is shown to succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// Outside of any sandbox, as whoever runs the tests.
    Bare,
    /// The same, but only root can do it.
    BareRoot,
    /// In the sandbox that `weakened/NAME.sh` makes.
    Weakened(String),
    /// By aido, after this sed script has mended the attack's own file: nothing else in it is at fault.
    Mended(String),
    /// By aido, without what `around:` puts around it.
    Unwrapped,
}

#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) area: String,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) promise: u32,
    /// One line, for the table.
    pub(crate) tries: String,
    /// Any of these counts as refused.
    pub(crate) refused: Vec<String>,
    pub(crate) record: Vec<Claim>,
    pub(crate) proof: Proof,
    /// Outcomes outside that mean: this kernel has no such thing.
    pub(crate) lacks: Vec<String>,
    /// Where it is tried alone, and why.
    only: Option<(String, String)>,
    /// More options of `aido run`.
    pub(crate) options: Vec<String>,
    /// Lines of sandbox.yaml.
    pub(crate) yaml: Vec<String>,
    /// The program of `judge/` that says what became of it.
    pub(crate) judge: Option<String>,
    /// The program of `around/` in which aido itself is run.
    pub(crate) around: Option<String>,
    /// Seconds after which aido must have returned.
    pub(crate) within: Option<u64>,
    pub(crate) needs_cgroups: bool,
}

impl Attack {
    pub(crate) fn read(area: &str, path: &Path) -> Result<Attack, String> {
        let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("c") => Kind::C,
            Some("py") => Kind::Python,
            Some("sh") => Kind::Shell,
            Some("yaml") => Kind::Yaml,
            _ => return Err("not a .c, .py, .sh or .yaml file".into()),
        };
        let mut attack = Attack::empty(area, name, path, kind);
        let mut proof = None;
        for line in head(&text, kind) {
            let (key, value) = line.split_once(':').ok_or_else(|| format!("`{line}` is no KEY: VALUE"))?;
            attack.take(key.trim(), value.trim(), &mut proof)?;
        }
        attack.proof = proof.ok_or("it does not say where it succeeds (`proof:`)")?;
        attack.checked()
    }

    fn empty(area: &str, name: String, path: &Path, kind: Kind) -> Attack {
        Attack {
            area: area.into(),
            name,
            path: path.into(),
            kind,
            promise: 0,
            tries: String::new(),
            refused: Vec::new(),
            record: Vec::new(),
            proof: Proof::Bare,
            lacks: Vec::new(),
            only: None,
            options: Vec::new(),
            yaml: Vec::new(),
            judge: None,
            around: None,
            within: None,
            needs_cgroups: false,
        }
    }

    fn take(&mut self, key: &str, value: &str, proof: &mut Option<Proof>) -> Result<(), String> {
        let words = || value.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        match key {
            "promise" => self.promise = value.parse().map_err(|_| format!("promise {value}"))?,
            "tries" => self.tries = value.into(),
            "refused" => self.refused = words(),
            "record" => self.record.push(Claim::parse(value)?),
            "proof" => *proof = Some(parse_proof(value)?),
            "lacks" => self.lacks = words(),
            "only" => {
                let (place, why) = value.split_once(' ').ok_or("`only:` needs a reason")?;
                if !["root", "user", "image", "host"].contains(&place) {
                    return Err(format!("only: {place}"));
                }
                self.only = Some((place.into(), why.into()));
            }
            "options" => self.options = words(),
            "yaml" => self.yaml.push(value.into()),
            "judge" => self.judge = Some(value.into()),
            "around" => self.around = Some(value.into()),
            "within" => self.within = Some(value.parse().map_err(|_| format!("within {value}"))?),
            "needs" if value == "cgroups" => self.needs_cgroups = true,
            _ => return Err(format!("`{key}: {value}` is not known in a head")),
        }
        Ok(())
    }

    fn checked(self) -> Result<Attack, String> {
        let missing = |what: &str| Err(format!("`{what}:` is missing"));
        match () {
            () if !(1..=15).contains(&self.promise) => missing("promise"),
            () if self.tries.is_empty() => missing("tries"),
            () if self.refused.is_empty() => missing("refused"),
            () if self.record.is_empty() => missing("record"),
            () if self.proof == Proof::Unwrapped && self.around.is_none() => {
                Err("`proof: unwrapped` without `around:`".into())
            }
            () => Ok(self),
        }
    }

    /// `AREA/NAME`
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.area, self.name)
    }

    pub(crate) fn left_out_for(&self, root: bool) -> Option<String> {
        match self.only.as_ref()? {
            (who, why) if who == "root" && !root => Some(format!("root only: {why}")),
            (who, why) if who == "user" && root => Some(format!("ordinary users only: {why}")),
            _ => None,
        }
    }

    pub(crate) fn left_out_in(&self, room: Room) -> Option<String> {
        match self.only.as_ref()? {
            (place, why) if ["image", "host"].contains(&place.as_str()) && place != room.name() => {
                Some(format!("{place} root only: {why}"))
            }
            _ => None,
        }
    }
}

/// The comment lines at the top, up to the first that is empty or no comment; a `#!` line is not counted.
fn head(text: &str, kind: Kind) -> impl Iterator<Item = &str> {
    let sign = if kind == Kind::C { "//" } else { "#" };
    let lines = text.lines().skip_while(|line| line.starts_with("#!"));
    let inner = lines.map_while(move |line| line.strip_prefix(sign));
    inner.map(str::trim).take_while(|line| !line.is_empty())
}

fn parse_proof(value: &str) -> Result<Proof, String> {
    match value.split_once(' ').map_or((value, ""), |(a, b)| (a, b.trim())) {
        ("bare", "") => Ok(Proof::Bare),
        ("bare-root", "") => Ok(Proof::BareRoot),
        ("unwrapped", "") => Ok(Proof::Unwrapped),
        ("weakened", name) if !name.is_empty() && !name.contains(' ') => Ok(Proof::Weakened(name.into())),
        ("mended", script) if !script.is_empty() => Ok(Proof::Mended(script.into())),
        _ => Err(format!("proof: {value}")),
    }
}
