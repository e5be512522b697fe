use crate::Result;
pub(super) fn pulse() -> Result<()> {
    Ok(())
}
