//! The AppArmor profile that lets aido make user namespaces where only programs with a profile may.

use crate::facts::Facts;
use aido_runtime::Error;
use std::path::Path;

const FILE: &str = "/etc/apparmor.d/aido";

/// The profile for this program: nothing is confined, user namespaces are allowed.
pub fn apparmor_profile() -> Result<String, Error> {
    let program =
        std::env::current_exe().map_err(|e| Error::new(format!("cannot find this program's own path: {e}")))?;
    profile(&program)
}

fn profile(program: &Path) -> Result<String, Error> {
    let attached = attachment(program).ok_or_else(|| {
        Error::new(format!("{program:?} cannot be named in an AppArmor profile"))
            .remedy("move aido to a path of plain characters, such as /usr/local/bin/aido")
    })?;
    Ok(format!(
        "# Lets aido make user namespaces (kernel.apparmor_restrict_unprivileged_userns).\n\
         # Whoever may write to that file may use them too.\n\
         abi <abi/4.0>,\n\
         include <tunables/global>\n\
         \n\
         profile aido {attached} flags=(unconfined) {{\n\
         \x20 userns,\n\
         \n\
         \x20 include if exists <local/aido>\n\
         }}\n"
    ))
}

/// A path as profiles write it: in quotes, and without the marks of patterns and variables.
fn attachment(program: &Path) -> Option<String> {
    let text = program.to_str().filter(|text| !text.contains(|c: char| c.is_control() || c == '@'))?;
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if "\\\"*?[]{}^".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Some(quoted)
}

/// The two commands that install it.
pub(crate) fn install(facts: &Facts) -> String {
    let (sudo, program) = (facts.sudo(), word());
    format!("{program} doctor --apparmor-profile | {sudo}tee {FILE} && {sudo}apparmor_parser -r {FILE}")
}

/// This program as a shell finds it.
fn word() -> String {
    let here = std::env::current_exe().ok();
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|folder| folder.join("aido")).find(|file| file.is_file()))
        .and_then(|file| file.canonicalize().ok());
    match here {
        Some(path) if found.as_ref() != Some(&path) => {
            format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
        }
        _ => "aido".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_names_the_program_and_allows_namespaces() {
        let text = profile(Path::new("/usr/local/bin/aido")).unwrap();
        assert!(text.contains("profile aido \"/usr/local/bin/aido\" flags=(unconfined) {\n  userns,\n"), "{text}");
        assert!(text.contains("abi <abi/4.0>,\n"), "{text}");
    }

    #[test]
    fn a_path_is_never_a_pattern_and_never_ends_its_quotes() {
        assert_eq!(attachment(Path::new("/a b/{x}/*\"")).unwrap(), r#""/a b/\{x\}/\*\"""#);
        for bad in ["/a\nb", "/@{HOME}/aido"] {
            let error = profile(Path::new(bad)).unwrap_err();
            assert!(error.remedy.unwrap().contains("/usr/local/bin"), "{bad}");
        }
    }

    #[test]
    fn the_commands_that_install_it_are_for_this_user() {
        let (root, user) = (Facts::default(), Facts { user: 1000, ..Facts::default() });
        assert!(!install(&root).contains("sudo"));
        let two = " doctor --apparmor-profile | sudo tee /etc/apparmor.d/aido && sudo apparmor_parser -r /etc/apparmor.d/aido";
        assert!(install(&user).ends_with(two), "{}", install(&user));
    }
}
