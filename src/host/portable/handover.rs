//! A job on its way to the supervisor: one line on its standard input, secrets and all. Nothing of it goes by arguments
//! or variables, which others can read.

use crate::backend::{self, Backend};
use crate::inputs::InputDigest;
use crate::redact;
use crate::supervise::Job;
use aido_evidence::Project;
use aido_runtime::{Error, Plan, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::PipeReader;
use std::path::PathBuf;

/// What of a job can be told; the rest is made again of it.
#[derive(Serialize, Deserialize)]
pub(super) struct Handover {
    project: PathBuf,
    sandbox: Option<String>,
    config: Option<Vec<u8>>,
    plan: Plan,
    secrets: BTreeMap<String, String>,
    secret_files: BTreeMap<String, Vec<u8>>,
    inputs: Vec<InputDigest>,
    hidden: Vec<String>,
    warnings: Vec<String>,
    backend: String,
    window: Option<Window>,
    /// Whether the task gets a standard input.
    pub(super) interactive: bool,
}

impl Handover {
    pub(super) fn of(job: Job, interactive: bool) -> Handover {
        let folder = job.project.folder();
        Handover {
            project: folder.parent().unwrap_or(folder).to_path_buf(),
            sandbox: job.sandbox.map(|sandbox| sandbox.id().to_string()),
            config: job.config,
            plan: job.plan,
            secrets: job.secrets,
            secret_files: job.secret_files,
            inputs: job.inputs,
            hidden: job.hidden,
            warnings: job.warnings,
            backend: job.backend.name().to_owned(),
            window: job.window,
            interactive,
        }
    }

    pub(super) fn into_job(self, stdin: Option<PipeReader>) -> Result<Job, Error> {
        let failed = |e: aido_evidence::Error| Error::new(e.to_string());
        let gone = |what: &str| Error::new(format!("the {what} is gone"));
        let project = Project::open(&self.project, &backend::own_home()).map_err(failed)?;
        let project = project.ok_or_else(|| gone("project's .aido"))?;
        let sandbox = match &self.sandbox {
            Some(id) => Some(project.sandbox_with(id).map_err(failed)?.ok_or_else(|| gone("sandbox"))?),
            None => None,
        };
        let backend: Backend = self.backend.parse().map_err(|what: String| Error::new(what))?;
        let kept_out = redact::secrets(&self.secrets, &self.secret_files);
        Ok(Job {
            project,
            sandbox,
            config: self.config,
            plan: self.plan,
            secrets: self.secrets,
            secret_files: self.secret_files,
            kept_out,
            inputs: self.inputs,
            later: Vec::new(),
            hidden: self.hidden,
            warnings: self.warnings,
            stdin,
            window: self.window,
            hold: None,
            backend,
        })
    }
}
