//! The task as the warden reads it. The form stands in `warden/script.rs`.

use crate::places::Places;
use aido_runtime::{Error, Plan};
use std::collections::BTreeMap;

/// What the warden takes at most.
const LARGEST: usize = 16 << 20;

/// What the warden says before it was told the word.
pub(crate) const NO_WORD: [u8; 32] = [b'0'; 32];

/// The task, its environment with the secrets, and the words that the warden signs its messages with.
pub(crate) fn script(
    plan: &Plan,
    places: &Places,
    secrets: &BTreeMap<String, String>,
    rest_ms: u64,
    words: [&[u8; 32]; 2],
) -> Result<Vec<u8>, Error> {
    let task = &plan.task;
    let env = plan.task.environment(secrets)?;
    let candidates = task.candidates(&env)?;
    let mut bytes = b"AIDO1".to_vec();
    for number in [plan.deadline.ttl_ms, plan.deadline.grace_ms, rest_ms] {
        bytes.extend(number.to_le_bytes());
    }
    words.iter().for_each(|word| bytes.extend(*word));
    let counts = [
        usize::from(task.tty),
        candidates.len(),
        task.programs.len(),
        task.args.len(),
        env.len(),
        places.scratch.len(),
    ];
    for count in counts {
        bytes.extend((count as u32).to_le_bytes());
    }
    text(&mut bytes, &task.workdir)?;
    for (program, path) in &candidates {
        bytes.extend((*program as u32).to_le_bytes());
        text(&mut bytes, path)?;
    }
    for word in task.programs.iter().chain(&task.args) {
        text(&mut bytes, word)?;
    }
    for (name, value) in &env {
        text(&mut bytes, &format!("{name}={value}"))?;
    }
    for (target, mode) in &places.scratch {
        bytes.extend(mode.to_le_bytes());
        text(&mut bytes, target)?;
    }
    match bytes.len() {
        length if length >= LARGEST => {
            Err(Error::new(format!("command and environment are larger than {LARGEST} bytes")))
        }
        _ => Ok(bytes),
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::new(format!("{text:?} contains a NUL character")));
    }
    bytes.extend(text.as_bytes());
    bytes.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::plan;

    #[test]
    fn a_secret_is_in_the_script_and_a_missing_one_is_refused() {
        let mut plan = plan();
        plan.task.env.insert("TOKEN".into(), aido_runtime::EnvValue::From { from: "MY_TOKEN".into() });
        assert!(
            script(&plan, &Places::default(), &BTreeMap::new(), 1, [&NO_WORD; 2])
                .unwrap_err()
                .what
                .contains("MY_TOKEN")
        );
        let secrets = BTreeMap::from([("MY_TOKEN".to_string(), "s3cret".to_string())]);
        let bytes = script(&plan, &Places::default(), &secrets, 1, [&NO_WORD; 2]).unwrap();
        assert!(bytes.windows(13).any(|piece| piece == b"TOKEN=s3cret\0"));
    }
}
