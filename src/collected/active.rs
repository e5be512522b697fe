//! Which files a person's own tools act on by themselves: by their names alone, in one table.
//!
//! Names count as macOS and Windows would take them: upper and lower case alike, without what those leave out of a name.

/// Why, and names: `name/` is a folder with all that lies in it, `folder/name` wants both, a star stands for any letters at
/// that end.
type Row = (&'static str, &'static [&'static str]);

const TABLE: [Row; 10] = [
    (
        "git and its kin obey it, and run its hooks",
        &[
            ".git/",
            ".git",
            "git~1/",
            ".hg/",
            ".gitattributes",
            ".gitmodules",
            ".gitconfig",
            ".lfsconfig",
            ".githooks/",
            ".husky/",
            ".pre-commit-config.y*",
            "lefthook.y*",
            "hooks/pre-*",
            "hooks/post-*",
            "hooks/commit-msg",
            "hooks/prepare-commit-msg",
            "hooks/applypatch-msg",
            "hooks/update",
            "hooks/fsmonitor-watchman",
            "hooks/reference-transaction",
        ],
    ),
    (
        "a shell or a tool that watches folders loads it",
        &[
            ".envrc",
            ".env",
            ".env.*",
            ".autoenv",
            ".mise.toml",
            "mise.toml",
            ".tool-versions",
            "flake.nix",
            "shell.nix",
            "default.nix",
        ],
    ),
    (
        "an editor obeys it, and may run what it names",
        &[
            ".vscode/",
            "*.code-workspace",
            ".idea/",
            ".devcontainer/",
            ".devcontainer.json",
            ".zed/",
            ".fleet/",
            ".settings/",
            ".project",
            ".classpath",
            ".exrc",
            ".vimrc",
            ".gvimrc",
            ".nvimrc",
            ".nvim.lua",
            ".vim/",
            ".dir-locals.el",
            ".dir-locals-2.el",
            ".emacs",
            ".emacs.d/",
            "*.sublime-project",
            "*.sublime-workspace",
            ".ipython/",
            ".jupyter/",
        ],
    ),
    (
        "an agent or its tools take orders from it",
        &[
            "claude.md",
            "claude.local.md",
            "agents.md",
            "agent.md",
            "gemini.md",
            "skill.md",
            ".claude/",
            ".cursor/",
            ".cursorrules",
            ".mcp.json",
            "mcp.json",
            ".codex/",
            ".gemini/",
            ".windsurf/",
            ".windsurfrules",
            ".clinerules",
            ".clinerules/",
            ".roo/",
            ".roorules",
            ".continue/",
            ".opencode/",
            ".kiro/",
            ".junie/",
            ".aider*",
            "copilot-instructions.md",
            ".github/prompts/",
            ".github/chatmodes/",
            "sandbox.yaml",
            ".aido/",
        ],
    ),
    (
        BUILD,
        &[
            "makefile",
            "gnumakefile",
            "makefile.*",
            "*.mk",
            "cmakelists.txt",
            "*.cmake",
            "meson.build",
            "build.ninja",
            "wscript",
            "sconstruct",
            "sconscript",
            "configure",
            "rakefile",
            "gemfile",
            "*.gemspec",
            "package.json",
            ".pnpmfile.cjs",
            ".yarnrc",
            ".yarnrc.yml",
            ".yarn/",
            "node_modules/",
            "bunfig.toml",
            "deno.json*",
            "*.config.js",
            "*.config.cjs",
            "*.config.mjs",
            "*.config.ts",
            ".eslintrc*",
            ".prettierrc*",
            ".babelrc*",
            "gulpfile.*",
            "gruntfile.*",
            "setup.py",
            "setup.cfg",
            "pyproject.toml",
            "conftest.py",
            "noxfile.py",
            "tox.ini",
            "pytest.ini",
            "sitecustomize.py",
            "usercustomize.py",
            "*.pth",
            "pyvenv.cfg",
            "cargo.toml",
            "build.rs",
            ".cargo/",
            "rust-toolchain",
            "rust-toolchain.toml",
            "build.gradle*",
            "settings.gradle*",
            "gradle.properties",
            "gradlew*",
            "gradle/",
            ".gradle/",
            "pom.xml",
            ".mvn/",
            "mvnw*",
            "build.xml",
            "build.sbt",
            "build.zig",
            "go.work",
            "composer.json",
            "mix.exs",
            "justfile",
            ".justfile",
            "taskfile.y*",
            "earthfile",
            "build.bazel",
            "workspace.bazel",
            "module.bazel",
            "*.bzl",
            ".bazelrc",
            "*.csproj",
            "*.fsproj",
            "*.vbproj",
            "*.vcxproj",
            "*.sln",
            "directory.build.*",
            "nuget.config",
            "vagrantfile",
            "dockerfile",
            "dockerfile.*",
            "*.dockerfile",
            "containerfile",
            "docker-compose*",
            "compose.y*",
            "tiltfile",
            "procfile",
            "ansible.cfg",
            "*.tf",
            "*.tf.json",
        ],
    ),
    (
        "a forge or a CI runner executes it",
        &[
            ".github/workflows/",
            ".github/actions/",
            "action.y*",
            ".gitea/",
            ".forgejo/",
            ".gitlab-ci.y*",
            ".gitlab/",
            ".circleci/",
            ".buildkite/",
            ".woodpecker/",
            ".woodpecker.y*",
            ".drone.y*",
            ".travis.y*",
            ".appveyor.y*",
            "appveyor.y*",
            "azure-pipelines*",
            "bitbucket-pipelines.y*",
            "cloudbuild.y*",
            "jenkinsfile*",
        ],
    ),
    (
        "a shell or a login runs it",
        &[
            ".bashrc",
            ".bash_*",
            ".profile",
            ".zshrc",
            ".zshenv",
            ".zprofile",
            ".zlogin",
            ".zlogout",
            ".cshrc",
            ".tcshrc",
            ".login",
            ".logout",
            ".kshrc",
            ".inputrc",
            "config.fish",
            ".xprofile",
            ".xinitrc",
            ".xsession*",
            ".pam_environment",
            "crontab",
        ],
    ),
    (
        "a tool takes its settings or logins from it",
        &[
            ".npmrc",
            ".pypirc",
            "pip.conf",
            ".netrc",
            "_netrc",
            ".curlrc",
            "_curlrc",
            ".wgetrc",
            ".gdbinit",
            ".lldbinit",
            ".pdbrc*",
            ".pythonrc*",
            ".irbrc",
            ".pryrc",
            ".rspec",
            ".psqlrc",
            ".sqliterc",
            ".my.cnf",
            ".condarc",
            ".gemrc",
            ".terraformrc",
            ".tmux.conf",
            ".screenrc",
            ".ssh/",
            "authorized_keys",
            ".gnupg/",
            ".aws/",
            ".azure/",
            ".kube/",
            ".docker/",
            ".config/",
        ],
    ),
    (
        "a desktop or an init system acts on it, or runs it when it is opened",
        &[
            "*.desktop",
            ".directory",
            "*.lnk",
            "*.url",
            "*.webloc",
            "*.scf",
            "*.library-ms",
            "autorun.inf",
            "desktop.ini",
            "*.command",
            "*.workflow/",
            "*.app/",
            "*.service",
            "*.timer",
            "*.socket",
            "*.plist",
        ],
    ),
    (
        "Windows runs it when it is opened",
        &[
            "*.exe", "*.com", "*.scr", "*.pif", "*.msi", "*.bat", "*.cmd", "*.ps1", "*.vbs", "*.vbe", "*.jse", "*.wsf",
            "*.hta", "*.reg", "*.cpl", "*.dll",
        ],
    ),
];

/// Why a file at this path (relative, `/` between names) is acted on by tools; `None`: none that is known is.
pub(super) fn why(path: &str) -> Option<&'static str> {
    let names: Vec<String> = path.split(['/', '\\']).map(as_taken).filter(|name| !name.is_empty()).collect();
    let hit = |rule: &&&str| is_hit(rule, &names);
    TABLE.iter().find(|(_, rules)| rules.iter().find(hit).is_some()).map(|(why, _)| *why)
}

/// The row of what people run by a command of their own, and that changes of a project are full of.
const BUILD: &str = "a build, a package manager or a test runner runs it";

/// The same for what is obeyed without a command that runs the project.
pub(super) fn why_unasked(path: &str) -> Option<&'static str> {
    why(path).filter(|why| *why != BUILD)
}

/// A file named `config` beside one named `HEAD`: git takes the folder for a repository, wherever it lies.
pub(super) const REPOSITORY: &str = TABLE[0].0;

fn is_hit(rule: &str, names: &[String]) -> bool {
    let Some((name, folders)) = names.split_last() else { return false };
    let (folder, rule) = match rule.strip_suffix('/') {
        Some(rule) => (true, rule),
        None => (false, rule),
    };
    let (above, last) = match rule.split_once('/') {
        Some((above, last)) => (Some(above), last),
        None => (None, rule),
    };
    let fits = |above_it: Option<&String>, name: &str| {
        matches(last, name) && above.is_none_or(|above| above_it.is_some_and(|name| name == above))
    };
    match folder {
        true => (0..folders.len()).any(|n| fits(n.checked_sub(1).map(|n| &folders[n]), &folders[n])),
        false => fits(folders.last(), name),
    }
}

fn matches(rule: &str, name: &str) -> bool {
    match rule.split_once('*') {
        Some((head, tail)) => name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail),
        None => rule == name,
    }
}

/// A name as file systems of other machines take it: Windows drops dots and spaces at the end and reads what follows a
/// colon as a stream; macOS leaves some characters out; both know no upper case.
fn as_taken(name: &str) -> String {
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let name: String = name.chars().filter(|c| !is_left_out(*c)).map(folded).collect();
    name.to_lowercase().trim_end_matches(['.', ' ']).to_string()
}

fn is_left_out(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// What lower case does not make alike, and these file systems do.
fn folded(c: char) -> char {
    if c == '\u{17f}' { 's' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_act_on_is_told_from_what_they_read() {
        for path in [
            ".git/hooks/pre-commit",
            "repo/.git/config",
            ".git",
            "a/.GIT/config",
            "a/.git./config",
            "a/.git::$INDEX_ALLOCATION/config",
            "a/GIT~1/config",
            "a/.g\u{200c}it/config",
            "bare/hooks/post-checkout",
            ".gitattributes",
            "deep/.gitmodules",
            ".envrc",
            ".env.local",
            ".vscode/tasks.json",
            "x/.idea/workspace.xml",
            ".devcontainer/devcontainer.json",
            "Makefile",
            "sub/GNUmakefile",
            "package.json",
            "setup.py",
            "pyproject.toml",
            "build.rs",
            "Cargo.toml",
            "tests/conftest.py",
            "lib/evil.pth",
            "Dockerfile",
            "Dockerfile.prod",
            ".github/workflows/ci.yml",
            ".gitlab-ci.yml",
            "CLAUDE.md",
            "docs/AGENTS.md",
            ".claude/settings.json",
            ".cursor/rules/x.mdc",
            ".mcp.json",
            ".bashrc",
            ".bash_profile",
            ".zſhrc",
            ".npmrc",
            ".pypirc",
            ".netrc",
            "run.desktop",
            "Photo.LNK",
            "sandbox.yaml",
            ".ssh/authorized_keys",
            "vite.config.ts",
            "a\\.git\\config",
            ".eslintrc.cjs",
            "main.tf",
        ] {
            assert!(why(path).is_some(), "{path}");
        }
        for path in [
            "report.txt",
            "results/a.json",
            "src/main.rs",
            "git/config",
            ".gitignore",
            ".github/ISSUE_TEMPLATE.md",
            "hooks/readme.md",
            "environment.yml",
            "makefile_notes.txt",
            "mypackage.json",
            "config",
            "HEAD",
            "claude.txt",
            "data.csv",
            "index.html",
            "x.py",
            "",
            "/",
        ] {
            assert_eq!(why(path), None, "{path}");
        }
    }

    /// A rule that is not in lower case, or has two stars, could never hit.
    #[test]
    fn every_rule_can_hit() {
        for (_, rules) in TABLE {
            for rule in rules {
                let sample = rule.replace('*', "x");
                let path = if sample.ends_with('/') { format!("a/{sample}file") } else { format!("a/{sample}") };
                assert!(why(&path).is_some() && why(&path.to_uppercase()).is_some(), "{rule}");
            }
        }
    }
}
