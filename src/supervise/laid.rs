//! Events that follow from the plan and from how the run ended, and not from what the engine tells.

use aido_evidence::Sandbox;
use aido_runtime::{End, Error, Layer, MountKind, Outcome, Plan, Root};
use serde_json::{Value, json};

/// Mounts that the event names: the whole is in `plan.json`.
const NAMED: usize = 512;

/// What is known before anything starts: the image that the name led to, and what is laid where.
pub(super) fn before(plan: &Plan) -> Vec<(&'static str, Value)> {
    let mut events = Vec::new();
    if let Root::Image { reference, digest, layers } = &plan.root {
        let data = json!({"reference": reference, "digest": digest, "layers": layers.len()});
        events.push(("image_resolved", data));
    }
    let mounts: Vec<Value> = plan.mounts.iter().take(NAMED).map(|mount| laid(&mount.target, &mount.kind)).collect();
    let mut data = json!({"mounts": mounts});
    if plan.mounts.len() > NAMED {
        data["more"] = json!(plan.mounts.len() - NAMED);
    }
    events.push(("mounts", data));
    events
}

/// Where what a task changes of the project is kept, if it may change anything.
pub(super) fn layer(plan: &Plan, sandbox: &Sandbox) -> Result<Option<Layer>, Error> {
    let source = plan.mounts.iter().find_map(|mount| match &mount.kind {
        MountKind::Layered { source, .. } => Some(source),
        _ => None,
    });
    let Some(source) = source else { return Ok(None) };
    let failed = |e: &dyn std::fmt::Display| Error::new(format!("cannot make a layer for changes: {e}"));
    let layers = sandbox.layers().map_err(|e| failed(&e))?;
    if layers.fresh {
        // The workspace itself has the mode of its topmost layer.
        let shown = source.metadata().map_err(|e| failed(&e))?.permissions();
        std::fs::set_permissions(layers.folder.join("upper"), shown).map_err(|e| failed(&e))?;
    }
    Ok(Some(Layer { folder: layers.folder, below: layers.below }))
}

/// A place in the sandbox: what lies there, whether it can be written, and how much of it is hidden.
fn laid(target: &str, kind: &MountKind) -> Value {
    match kind {
        MountKind::Input { source, hidden, secret } => {
            let mut data = json!({"target": target, "kind": "input", "writable": false, "source": source});
            if !hidden.is_empty() {
                data["hidden"] = json!(hidden.len());
            }
            if *secret {
                data["secret"] = json!(true);
            }
            data
        }
        MountKind::Layered { source, hidden } => {
            json!({"target": target, "kind": "layered", "writable": true, "source": source, "hidden": hidden.len()})
        }
        MountKind::Open { source, hidden, kept } => json!({
            "target": target, "kind": "open", "writable": true, "source": source, "hidden": hidden.len(), "kept": kept.len(),
        }),
        MountKind::OutputFolder { .. } => json!({"target": target, "kind": "output_folder", "writable": true}),
        MountKind::OutputFile { .. } => json!({"target": target, "kind": "output_file", "writable": true}),
        MountKind::Scratch { .. } => json!({"target": target, "kind": "scratch", "writable": true}),
        MountKind::Empty => json!({"target": target, "kind": "empty", "writable": false}),
        MountKind::Text { .. } => json!({"target": target, "kind": "text", "writable": false}),
    }
}

/// The bounds that were reached, as far as the host can say. `dropped`: bytes of standard output and of standard error.
pub(super) fn limits_hit(plan: &Plan, outcome: &Outcome, dropped: [u64; 2]) -> Vec<Value> {
    let mut hit = Vec::new();
    if let End::OutOfMemory { limit, peak } = &outcome.end {
        hit.push(json!({"limit": "memory", "value": limit, "peak": peak}));
    }
    if let End::OutOfDisk { limit, bytes, files } = &outcome.end {
        hit.push(json!({"limit": "disk", "value": limit, "bytes": bytes, "files": files}));
    }
    if let Some(refused) = outcome.usage.pids_refused.filter(|refused| *refused > 0) {
        hit.push(json!({"limit": "pids", "value": plan.limits.pids.value, "refused": refused}));
    }
    for (stream, dropped) in ["stdout", "stderr"].into_iter().zip(dropped).filter(|(_, dropped)| *dropped > 0) {
        let value = plan.limits.output.value;
        hit.push(json!({"limit": "output", "value": value, "stream": stream, "dropped": dropped}));
    }
    hit
}
