//! Environment variables: their names and how they are typed.

use super::asked::Variable;

/// The kernel's bound on one `NAME=VALUE` with its final NUL.
const MAX_BYTES: usize = 128 * 1024 - 1;

pub(super) fn check_name(name: &str) -> Result<(), String> {
    let head = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if head && name.len() <= 255 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        return Ok(());
    }
    Err(format!("`{name}` is no name of a variable; letters, digits and _ make one, and a digit does not begin it"))
}

/// `NAME=VALUE`, or `NAME` for the caller's own value.
pub(super) fn typed(text: &str) -> Result<(String, Variable), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Variable::Literal(value.to_string())),
        None => (text, Variable::From(text.to_string())),
    };
    check_name(name)?;
    Ok((name.to_string(), value))
}

/// Whether the kernel would take it.
pub fn fits(name: &str, value: &str) -> Result<(), String> {
    if value.contains('\0') {
        return Err(format!("the value of `{name}` contains a NUL character"));
    }
    if name.len() + 1 + value.len() > MAX_BYTES {
        return Err(format!("the value of `{name}` is longer than the 128 KiB that Linux allows"));
    }
    Ok(())
}
