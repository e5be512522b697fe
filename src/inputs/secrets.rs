//! Which files look like secrets, by their names alone. One table; the documentation is drawn from it.

/// The folder of the project's evidence.
pub(super) const EVIDENCE: &str = ".aido";

/// Folders of which nothing is shown: version control, aido's own records, and where tools keep logins.
pub(super) const FOLDERS: [&str; 8] = [".git", ".aido", ".ssh", ".aws", ".azure", ".gnupg", ".hg", ".svn"];

/// Files. A star stands for any letters at that end; `folder/file` wants both.
pub(super) const FILES: [&str; 49] = [
    // settings that hold passwords
    ".env",
    ".env.*",
    ".env-*",
    ".env_*",
    ".env~",
    "*.env",
    ".envrc*",
    "secrets.json",
    "secrets.toml",
    "secrets.yaml",
    "secrets.yml",
    "terraform.tfstate*",
    "*.tfvars",
    // private keys and stores of them
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "*_id_rsa",
    "*_id_ed25519",
    "*.key",
    "*.pem",
    "*.ppk",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    // logins of tools
    ".netrc",
    "_netrc",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".s3cfg",
    ".boto",
    ".dockercfg",
    ".htpasswd",
    ".vault-token",
    "gh/hosts.yml",
    ".terraformrc",
    ".git-credentials",
    ".docker/config.json",
    ".kube/config",
    "gcloud/*.db",
    "kubeconfig",
    "*.kubeconfig",
    "credentials.json",
    "client_secret*",
    "service-account*",
];

/// Files that the table above would take, and that are public by their nature.
pub(super) const PUBLIC: [&str; 8] =
    [".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", "sample.env", "*.pub", "cacert.pem"];

/// Whether a file at this path (`/` between names) looks like a secret, or lies where only secrets lie.
pub fn looks_secret(path: &str) -> bool {
    let mut names = path.rsplit('/');
    let name = names.next().unwrap_or_default().to_ascii_lowercase();
    let parent = names.next().unwrap_or_default().to_ascii_lowercase();
    if path.split('/').any(is_closed) {
        return true;
    }
    let hit = |rule: &&str| match rule.split_once('/') {
        Some((folder, file)) => folder == parent && matches(file, &name),
        None => matches(rule, &name),
    };
    FILES.iter().any(hit) && !PUBLIC.iter().any(hit)
}

/// Whether nothing of a folder with this name is shown. A file of this name (as `.git` in a work tree) is not shown either.
pub(super) fn is_closed(name: &str) -> bool {
    FOLDERS.iter().any(|folder| folder.eq_ignore_ascii_case(name))
}

fn matches(rule: &str, name: &str) -> bool {
    match rule.split_once('*') {
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
        None => rule == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_their_examples() {
        for path in [
            ".env",
            "app/.env.production",
            ".ENV",
            "deploy/server.pem",
            "a/b/tls.key",
            "id_rsa",
            "keys/id_ed25519_work",
            ".netrc",
            ".aws/anything",
            "home/.ssh/config",
            ".git/config",
            ".git",
            "x/.aido/ledger.jsonl",
            ".kube/config",
            ".docker/config.json",
            "terraform.tfstate.backup",
            "credentials.json",
            "prod.env",
            ".env~",
            ".envrc.local",
            "live.tfvars",
            "my_id_rsa",
            "service-account-prod.json",
        ] {
            assert!(looks_secret(path), "{path}");
        }
        for path in [
            ".env.example",
            ".env.sample",
            "environment.py",
            "id_rsa.pub",
            "keys.py",
            "monkey",
            "config.json",
            "docker/config.json",
            "kube/config",
            "lib/certifi/cacert.pem",
            ".gitignore",
            "src/git/x",
            "",
        ] {
            assert!(!looks_secret(path), "{path}");
        }
    }
}
