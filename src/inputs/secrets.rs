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
    path.split('/').any(is_closed) || names_secret(path)
}

/// The same where no folder on the way is closed.
pub(super) fn names_secret(path: &str) -> bool {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    if is_closed(name) {
        return true;
    }
    if !may_be_secret(name) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let parent = above.rsplit_once('/').map_or(above, |(_, parent)| parent).to_ascii_lowercase();
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

/// Whether a name begins or ends with a letter that some rule asks for: most names do not, and there are many.
fn may_be_secret(name: &str) -> bool {
    let (Some(first), Some(last)) = (name.bytes().next(), name.bytes().next_back()) else { return false };
    FIRST[usize::from(first.to_ascii_lowercase())] || LAST[usize::from(last.to_ascii_lowercase())]
}

/// Letters that rules begin with.
static FIRST: [bool; 256] = letters(true);
/// Letters at the end of those that begin with a star.
static LAST: [bool; 256] = letters(false);

const fn letters(first: bool) -> [bool; 256] {
    let mut found = [false; 256];
    let mut n = 0;
    while n < FILES.len() {
        let rule = FILES[n].as_bytes();
        let mut at = 0;
        let mut name = 0;
        while at < rule.len() {
            if rule[at] == b'/' {
                name = at + 1;
            }
            at += 1;
        }
        let star = rule[name] == b'*';
        if first && !star {
            found[rule[name] as usize] = true;
        }
        if !first && star {
            found[rule[rule.len() - 1] as usize] = true;
        }
        n += 1;
    }
    found
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
        // Each rule, in capitals too, is found although most names are let pass by their first and last letters.
        for rule in FILES {
            let path = rule.replace('*', "x");
            assert!(looks_secret(&path) && looks_secret(&path.to_ascii_uppercase()), "{rule}");
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
