//! Runs a job where image files may be read, and brings its answer home.
//!
//! That place may be another process, from which only bytes come back.

use crate::root::{pack, told, unpack};
use aido_runtime::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Seek, Write};

/// Runs `job` as root of a namespace that has the ids of image files; the caller has one thread.
pub(crate) fn with_image_rights<T: Serialize + DeserializeOwned>(
    job: impl FnOnce() -> Result<T, aido_image::Error>,
) -> Result<T, Error> {
    let failed = |e: std::io::Error| Error::new(format!("the answer of the helper process: {e}"));
    let memory = rustix::fs::memfd_create("answer", rustix::fs::MemfdFlags::CLOEXEC);
    let mut answer = File::from(memory.map_err(|e| failed(e.into()))?);
    aido_runtime_linux::with_image_rights(|| {
        let done = job().map_err(|e| pack(&told(e)))?;
        let bytes = serde_json::to_vec(&done).map_err(|e| e.to_string())?;
        (&answer).write_all(&bytes).map_err(|e| e.to_string())
    })
    .map_err(unpack)?;
    let mut bytes = Vec::new();
    answer.rewind().and_then(|()| answer.read_to_end(&mut bytes)).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|e| failed(e.into()))
}
