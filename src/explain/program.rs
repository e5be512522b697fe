//! Programs that are not there, or that cannot be executed.

use super::{Explanation, Facts, Kind, Source};
use crate::settings::Edit;
use aido_runtime::{End, Root};

/// Images that have a program, as people know them.
const IMAGES: [(&str, &[&str]); 16] = [
    ("python:3.13", &["python", "python3", "pip", "pip3"]),
    ("node:22", &["node", "nodejs", "npm", "npx", "yarn", "corepack"]),
    ("golang:1.24", &["go", "gofmt"]),
    ("rust:1", &["cargo", "rustc", "rustfmt"]),
    ("ruby:3.4", &["ruby", "gem", "bundle", "rake", "irb"]),
    ("php:8.4", &["php"]),
    ("perl:5", &["perl"]),
    ("gcc:14", &["gcc", "g++", "cc", "c++", "make", "gfortran"]),
    ("eclipse-temurin:21", &["java", "javac", "jar"]),
    ("maven:3", &["mvn"]),
    ("gradle:8", &["gradle"]),
    ("hashicorp/terraform:1.12", &["terraform"]),
    ("postgres:17", &["psql", "pg_dump", "postgres"]),
    ("mysql:8", &["mysql", "mysqldump"]),
    ("r-base:4.5.0", &["R", "Rscript"]),
    ("julia:1", &["julia"]),
];

pub(super) fn explain(facts: &Facts<'_>) -> Option<Explanation> {
    match &facts.summary.outcome.end {
        End::NotFound { program } => {
            let what = format!("there is no program {program} in the sandbox");
            Some(missing(facts, Source::Record, program, what))
        }
        End::NotExecutable { program, why } => {
            let what = format!("{program} cannot be executed: {why}");
            let reason = "the kernel does not take it for a program of this machine, or its mode forbids it";
            let instead = format!(
                "`chmod +x` it, give it a `#!` line, or name its interpreter: `aido run sh {program}`; a program must be built for this machine"
            );
            Some(Explanation::new(Source::Record, Kind::Program, what, reason).target(program).instead(instead))
        }
        _ => None,
    }
}

/// A program that the root does not have.
pub(super) fn missing(facts: &Facts<'_>, from: Source, program: &str, what: String) -> Explanation {
    let (why, known) = match &facts.plan.root {
        Root::Host => {
            ("`runtime: host` has the programs of this host's /usr, and nothing of homes, /opt or /snap".into(), None)
        }
        Root::Image { reference, .. } => (format!("the image {reference} has none of that name"), Some("host")),
        Root::Folder { .. } => ("the root folder has none of that name".into(), Some("host")),
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    let found = Explanation::new(from, Kind::Program, what, why).target(program);
    let image = IMAGES.iter().find(|(_, programs)| programs.contains(&name)).map(|(image, _)| *image);
    match (image, known) {
        (Some(image), None) => found.allowed_by(
            Edit::Runtime(image.to_string()),
            "the programs of that image in place of the host's; it is fetched from its registry once",
        ),
        // No engine has the host's programs.
        (Some(image), Some(_)) if facts.in_container() => found.allowed_by(
            Edit::Runtime(image.to_string()),
            "the programs of that image in place of that root's; it is fetched from its registry once",
        ),
        (None, Some(_)) if facts.in_container() => {
            found.instead(format!("name an image that has {name}: `runtime: IMAGE`"))
        }
        (_, Some(host)) => found
            .allowed_by(Edit::Runtime(host.to_string()), "this host's programs, read-only, in place of that root's")
            .instead(format!("where this host has no {name} either: take an image that has it")),
        (None, None) => {
            found.instead(format!("install {name} on the host, or name an image that has it: `runtime: IMAGE`"))
        }
    }
}
